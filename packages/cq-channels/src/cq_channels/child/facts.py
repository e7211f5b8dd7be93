"""What a child knows of its surroundings, for the banner of its supervisor."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DatabaseError

from cq.conf import conf
from cq.definitions import registry
from cq_channels import doorbells


def facts(using: str, scheduler: bool) -> dict[str, Any]:
    """Return what wakes it, how many tasks it knows, and how many schedules there are.

    schedules: None where nothing makes tasks by them.
    """
    return {
        "tasks": len(registry.names()),
        "doorbell": doorbells.choose(using).name,
        "schedules": _schedules(using) if scheduler and conf.SCHEDULER else None,
    }


def _schedules(using: str) -> int | None:
    if not apps.is_installed("cq_scheduler"):
        return None
    model = apps.get_model("cq_scheduler", "RepeatingTask")
    try:
        return int(model._base_manager.using(using).count())
    except DatabaseError:
        return None
