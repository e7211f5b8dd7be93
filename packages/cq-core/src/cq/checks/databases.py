"""The checks that ask the tasks' database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Warning, register

from cq.conf import conf
from cq.db import poolers, timeouts
from cq.definitions import registry

if TYPE_CHECKING:
    from collections.abc import Sequence


def connection_to_ask(
    databases: Sequence[str] | None, vendor: str | None = None
) -> Any | None:
    """Return the connection to the tasks' database, if a check may ask it now.

    None where it is not among `databases` (``check --database``), or of another vendor.
    """
    from django.db import connections

    if not databases or conf.DATABASE not in databases:
        return None
    connection = connections[conf.DATABASE]
    return connection if vendor in (None, connection.vendor) else None


@register("database")
def check_old_table(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """cq.W004: the table of the first django-cq is still there."""
    connection = connection_to_ask(databases)
    if connection is None:
        return []
    with connection.cursor() as cursor:
        if "cq_task" not in connection.introspection.table_names(cursor):
            return []
    return [
        Warning(
            "There is a table cq_task, of the first django-cq. cq leaves it alone.",
            hint="See 'Upgrading from django-cq' in the documentation.",
            id="cq.W004",
        )
    ]


@register("database")
def check_pooler(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """cq.W006: there is a pooler that the settings do not tell of."""
    using = conf.DATABASE
    connection = connection_to_ask(databases, "postgresql")
    if connection is None or poolers.is_told_of(using):
        return []
    with connection.cursor() as cursor:
        if not poolers.is_behind(cursor):
            return []
    return [
        Warning(
            f"There is a pooler before the database {using!r}, and its settings do not "
            "say so.",
            hint=(
                f"Add to DATABASES[{using!r}]: {poolers.SETTING!r}: True. Django's "
                "iterator() fails without it where the pooler is in transaction mode."
            ),
            id="cq.W006",
        )
    ]


#: Seconds that a task without a timeout is taken to need at most.
_LONG = 3600.0


@register("database")
def check_session_limits(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """cq.W008: PostgreSQL ends what an atomic task may take longer for."""
    connection = connection_to_ask(databases, "postgresql")
    if connection is None:
        return []
    with connection.cursor() as cursor:
        limits = timeouts.configured(cursor)
    tasks = {
        name: options.timeout or _LONG
        for name in registry.names()
        if (options := registry.get(name).options).atomic
    }
    longest = max(tasks, key=lambda name: tasks[name], default="")
    short = {n: limit for n, limit in limits.items() if limit < tasks.get(longest, 0)}
    if not short:
        return []
    told = ", ".join(f"{name} is {limit:g} s" for name, limit in sorted(short.items()))
    return [
        Warning(
            f"PostgreSQL may end an atomic task, such as {longest!r}, before it is "
            f"done: in {conf.DATABASE!r}, {told}.",
            hint=(
                "Give atomic tasks a timeout below that, so that their rows say what "
                "happened; or raise it for the role of the workers: "
                f"ALTER ROLE ... SET {min(short)} = 0"
            ),
            id="cq.W008",
        )
    ]
