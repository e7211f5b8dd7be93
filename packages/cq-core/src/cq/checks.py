"""System checks: what would go wrong later, said by ``manage.py check``."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS

from . import poolers, registry, session_limits
from .conf import SETTINGS, conf, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIBLINGS = ("cq_channels", "cq_scheduler", "cq_admin")


@register("cq")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """cq.E001: a setting has a wrong value. cq.W001: there is no such setting."""
    found: list[CheckMessage] = []
    for name in sorted(n for n in dir(settings) if n.startswith("CQ_")):
        short = name.removeprefix("CQ_")
        if short not in SETTINGS:
            close = get_close_matches(short, SETTINGS, 1)
            hint = f"Did you mean CQ_{close[0]}?" if close else "Remove it."
            found.append(
                Warning(f"There is no setting {name}.", hint=hint, id="cq.W001")
            )
        elif message := problem(short, getattr(settings, name)):
            found.append(Error(message, hint=SETTINGS[short].help, id="cq.E001"))
    return found


@register("cq")
def check_lease(**kwargs: Any) -> list[CheckMessage]:
    """cq.E002: a worker would be taken for dead between two heartbeats."""
    if problem("LEASE", conf.LEASE) or problem("HEARTBEAT", conf.HEARTBEAT):
        return []
    if conf.LEASE >= 2 * conf.HEARTBEAT:
        return []
    return [
        Error(
            f"CQ_LEASE is {conf.LEASE:g} s, but CQ_HEARTBEAT {conf.HEARTBEAT:g} s.",
            hint="Give the lease at least two heartbeats; 15 and 2 are the defaults.",
            id="cq.E002",
        )
    ]


@register("cq")
def check_time_zones(**kwargs: Any) -> list[CheckMessage]:
    """cq.E006: moments are kept without their time zone."""
    if settings.USE_TZ:
        return []
    return [
        Error(
            "USE_TZ is False, and cq keeps moments with their time zone.",
            hint="Set USE_TZ = True: by a clock that daylight saving sets back, a worker "
            "would be dead for an hour, and no schedule would know its time.",
            id="cq.E006",
        )
    ]


@register("cq")
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """cq.E003: no such database. cq.W002: not the one that the site writes to."""
    alias = conf.DATABASE
    if not isinstance(alias, str) or alias not in settings.DATABASES:
        return [
            Error(
                f"CQ_DATABASE is {alias!r}, which is not in DATABASES.",
                hint=f"Use one of {', '.join(settings.DATABASES)}.",
                id="cq.E003",
            )
        ]
    if alias == DEFAULT_DB_ALIAS:
        return []
    return [
        Warning(
            f"Tasks are kept in {alias!r}, not in the site's default database.",
            hint=(
                "The two cannot commit together: a task is recorded when the default "
                "database's transaction commits, and atomic tasks are exactly once for "
                f"writes to {alias!r} only."
            ),
            id="cq.W002",
        )
    ]


# Of those that Django ships; a third party's may well be PostgreSQL underneath. MariaDB
# is told from MySQL, which is refused, by asking it: see check_mysql.
_UNTESTED = ("django.db.backends.oracle",)


@register("cq")
def check_vendor(**kwargs: Any) -> list[CheckMessage]:
    """cq.W007: the promises were never tested on this database."""
    engine = settings.DATABASES.get(conf.DATABASE, {}).get("ENGINE", "")
    if engine not in _UNTESTED:
        return []
    return [
        Warning(
            f"Tasks are kept in a database on {engine}, on which cq is not tested.",
            hint="What cq promises is tested on PostgreSQL, SQLite and MariaDB.",
            id="cq.W007",
        )
    ]


@register("cq")
def check_siblings(**kwargs: Any) -> list[CheckMessage]:
    """cq.W003: a part is installed but not listed in INSTALLED_APPS."""
    return [
        Warning(
            f"{name.replace('_', '-')} is installed, but {name!r} is not in "
            "INSTALLED_APPS.",
            hint=f"Add {name!r} after 'cq', or uninstall it.",
            id="cq.W003",
        )
        for name in _SIBLINGS
        if find_spec(name) is not None and not apps.is_installed(name)
    ]


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
        limits = session_limits.found(cursor)
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


#: The oldest MariaDB that is accepted, and of later series those that came before it.
_OLDEST = (10, 11, 5)
_NO_NEWER = [((11, 0), (11, 0, 3)), ((11, 1), (11, 1, 2))]


@register("database")
def check_mysql(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """cq.E004: MySQL, or an old MariaDB. cq.E005: transactions that see too little."""
    connection = connection_to_ask(databases, "mysql")
    if connection is None:
        return []
    kind = "MariaDB" if connection.mysql_is_mariadb else "MySQL"
    found = connection.mysql_version
    lacks_it = any(first <= found < fixed for first, fixed in _NO_NEWER)
    if kind == "MySQL" or found < _OLDEST or lacks_it:
        version, oldest = (".".join(map(str, v)) for v in (found, _OLDEST))
        return [
            Error(
                f"The database {conf.DATABASE!r} is {kind} {version}.",
                hint=(
                    f"cq needs PostgreSQL, SQLite, or MariaDB {oldest}, 11.0.3, 11.1.2 "
                    "or later."
                ),
                id="cq.E004",
            )
        ]
    # Asked for: Django may have been told to leave the server's own.
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@tx_isolation")
        level = cursor.fetchone()[0].replace("-", " ").lower()
    if level == "read committed":
        return []
    return [
        Error(
            f"Transactions of the database {conf.DATABASE!r} are {level!r}.",
            hint=(
                "A parent would not see that its last subtask has settled. Leave "
                "Django's default, or add to its OPTIONS: "
                "'isolation_level': 'read committed'"
            ),
            id="cq.E005",
        )
    ]


@register("cq")
def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """cq.W005: SQLite would make the site and the tasks wait for each other."""
    database = settings.DATABASES.get(conf.DATABASE, {})
    if database.get("ENGINE") != "django.db.backends.sqlite3":
        return []
    options = database.get("OPTIONS", {})
    if "journal_mode" in str(options.get("init_command", "")).lower():
        return []
    return [
        Warning(
            f"The SQLite database {conf.DATABASE!r} has no journal_mode=WAL.",
            hint=(
                "Readers and the writer block each other without it. Add to its "
                "OPTIONS: 'init_command': 'PRAGMA journal_mode=WAL; "
                "PRAGMA synchronous=NORMAL;', 'timeout': 20"
            ),
            id="cq.W005",
        )
    ]
