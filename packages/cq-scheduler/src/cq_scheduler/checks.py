"""System checks: schedules that could not run at their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ValidationError

from cq.checks import connection_to_ask
from cq.conf import conf
from cq.definitions import registry
from cq_scheduler.declaring.repeat import Declaration, declarations

if TYPE_CHECKING:
    from collections.abc import Sequence


@register("cq")
def check_declarations(**kwargs: Any) -> list[CheckMessage]:
    """Return cq_scheduler.E001 for each ``@repeat`` that could not run."""
    return [
        Error(
            f"@repeat of {declaration.definition.name}: {problem}",
            hint="Its schedule is not brought up to date until that is mended.",
            id="cq_scheduler.E001",
        )
        for declaration in declarations()
        if (problem := _problem(declaration))
    ]


def _problem(declaration: Declaration) -> str:
    try:
        row = declaration.row()
        row.clean_fields()
        row.clean()
    except ValidationError as error:
        return " ".join(error.messages)
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


@register("database")
def check_rows(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Return cq_scheduler.W001 for each name in a schedule that is not registered."""
    from .models import RepeatingTask, schedules

    connection = connection_to_ask(databases)
    if connection is None:
        return []
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    if RepeatingTask._meta.db_table not in tables:
        return []  # not migrated yet
    names = schedules(conf.DATABASE).filter(enabled=True).values_list("name", flat=True)
    known = set(registry.names(builtin=True))
    return [
        Warning(
            f"A schedule repeats {name!r}, but no task of that name is registered.",
            hint="Delete it or disable it, or bring the task back under that name.",
            id="cq_scheduler.W001",
        )
        for name in sorted(set(names.distinct()) - known)
    ]
