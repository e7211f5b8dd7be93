"""The receiver of post_migrate, which brings schedules up to date with the code."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps as current_apps
from django.db import connections, router

from cq.conf import conf

from .sync import sync

logger = logging.getLogger("cq.scheduler")


def sync_after_migrate(
    sender: Any, using: str, apps: Any = current_apps, **kwargs: Any
) -> None:
    """Sync and retime schedules once the tables of cq-scheduler are migrated.

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
    # An app whose migrations are switched off (MIGRATION_MODULES) is among `apps`, too.
    if model._meta.db_table not in connections[using].introspection.table_names():
        return
    from .retime import retime

    retime(using)
    synced = sync(using)
    if synced:
        logger.info("schedules in code: %s", synced)


def _columns(model: Any) -> set[str]:
    return {field.column for field in model._meta.concrete_fields}
