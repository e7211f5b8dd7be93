"""The checks of which database it is, and of how it is set up for tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.management import get_commands

from cq.conf import conf, problem

from .databases import connection_to_ask

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of those that Django ships; a third party's may well be PostgreSQL underneath. MariaDB
# is told from MySQL, which is refused, by asking it: see check_mysql.
_UNTESTED = ("django.db.backends.oracle",)


def _database() -> dict[str, Any]:
    """Return the settings of the tasks' database; nothing where `cq.E003` says there is none."""
    if problem("DATABASE", conf.DATABASE):
        return {}
    return dict(settings.DATABASES.get(conf.DATABASE, {}))


@register("cq")
def check_vendor(**kwargs: Any) -> list[CheckMessage]:
    """cq.W007: the promises were never tested on this database."""
    engine = _database().get("ENGINE", "")
    if engine not in _UNTESTED:
        return []
    return [
        Warning(
            f"Tasks are kept in a database on {engine}, on which cq is not tested.",
            hint="What cq promises is tested on PostgreSQL, SQLite and MariaDB.",
            id="cq.W007",
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


#: The commands that say how SQLite is set up. Who has it so on purpose is not told before
#: each of the others.
_SAY_HOW_IT_IS_SET_UP = ("check", "runserver", "cqworker")


def _is_another_command() -> bool:
    given = sys.argv[1:2]
    return given != [] and (
        given[0] in get_commands() and given[0] not in _SAY_HOW_IT_IS_SET_UP
    )


_LOCK_AT_ONCE = ("IMMEDIATE", "EXCLUSIVE")


@register("cq")
def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """cq.W005: SQLite would make the site and the tasks wait for each other, or fail."""
    database = _database()
    if database.get("ENGINE") != "django.db.backends.sqlite3":
        return []
    options = database.get("OPTIONS", {})
    lacks = []
    if "journal_mode" not in str(options.get("init_command", "")).lower():
        lacks.append("journal_mode=WAL: readers and the writer block each other")
    if str(options.get("transaction_mode", "")).upper() not in _LOCK_AT_ONCE:
        lacks.append(
            "transaction_mode IMMEDIATE: a transaction that reads before it writes, as "
            "the admin's do, fails with 'database is locked' beside a worker"
        )
    if not lacks or _is_another_command():
        return []
    return [
        Warning(
            f"The SQLite database {conf.DATABASE!r} has no {'; and no '.join(lacks)}.",
            hint=(
                "Add to its OPTIONS: 'init_command': 'PRAGMA journal_mode=WAL; "
                "PRAGMA synchronous=NORMAL;', 'transaction_mode': 'IMMEDIATE', "
                "'timeout': 20"
            ),
            id="cq.W005",
        )
    ]
