"""The way to the rows of limits: base querysets of their tables, by database alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models

from cq.tables.queries import tasks

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

    from .rows import LaneRow, LimitKeyRow, LimitRow, PlaceRow


def newcomer_sql(connection: Any, table: str) -> str:
    """Return SQL for a task whose lane may have no row yet, as ``cq_newcomers`` has it.

    table: what it is called in the statement.
    """
    # No index of MySQL is over an expression: there the status is a part of it.
    status = f"UPPER({table}.status)"
    if connection.vendor == "mysql":
        status = f"{table}.status"
    return (
        f"{status} = 'QUEUED' AND {table}.lane IS NOT NULL AND {table}.listed IS NULL"
    )


def newcomers(using: str) -> models.QuerySet[TaskRow]:
    """The tasks whose lanes may have no rows yet, in no order."""
    if connections[using].vendor == "mysql":
        return tasks(using).filter(
            status="QUEUED", lane__isnull=False, listed__isnull=True
        )
    return tasks(using).filter(
        models.expressions.RawSQL(  # noqa: S611
            newcomer_sql(connections[using], "cq_tasks"), (), models.BooleanField()
        )
    )


def lanes(using: str) -> models.QuerySet[LaneRow]:
    model: type[LaneRow] = apps.get_model("cq", "Lane")
    return model._base_manager.using(using).order_by()


def places(using: str) -> models.QuerySet[PlaceRow]:
    model: type[PlaceRow] = apps.get_model("cq", "Place")
    return model._base_manager.using(using).order_by()


def limit_keys(using: str) -> models.QuerySet[LimitKeyRow]:
    model: type[LimitKeyRow] = apps.get_model("cq", "LimitKey")
    return model._base_manager.using(using).order_by()


def limits_set(using: str) -> models.QuerySet[LimitRow]:
    """What was set of named limits, in no order."""
    model: type[LimitRow] = apps.get_model("cq", "Limit")
    return model._base_manager.using(using).order_by()
