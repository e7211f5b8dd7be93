"""Brings schedules up to date with what is deployed once the tables are migrated."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps as current_apps
from django.db import router

from cq.conf import conf

from .declared import sync

logger = logging.getLogger("cq.scheduler")


def sync_after_migrate(
    sender: Any, using: str, apps: Any = current_apps, **kwargs: Any
) -> None:
    """A receiver of post_migrate, for cq-scheduler's own app.

    Not in a database that has no such table, and not where a migration has not come to,
    or come back from, the table as this code knows it.
    """
    model = current_apps.get_model("cq_scheduler", "RepeatingTask")
    if using != conf.DATABASE or not router.allow_migrate_model(using, model):
        return
    try:
        migrated = apps.get_model("cq_scheduler", "RepeatingTask")
    except LookupError:
        return
    if _columns(migrated) != _columns(model):
        return
    from .retiming import retime

    retime(using)
    synced = sync(using)
    if synced:
        logger.info("schedules in code: %s", synced)


def _columns(model: Any) -> set[str]:
    return {field.column for field in model._meta.concrete_fields}
