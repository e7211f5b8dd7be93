"""How the database would find the rows of a statement."""

from __future__ import annotations

import re
from typing import Any

from django.db import connection


def analyze(*tables: str) -> None:
    """Let the planner know what is in the tables."""
    if connection.vendor == "mysql":
        return  # it looks into the index itself, and would commit what a test has made
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE {table}")


def plan(sql: str, params: Any = None) -> str:
    """Return the plan of a statement as text, with the indexes that it uses."""
    how = "EXPLAIN" if connection.vendor != "sqlite" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{how} {sql}", params)
        if connection.vendor != "mysql":
            return "\n".join(str(row[-1]) for row in cursor.fetchall())
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return "\n".join(f"{row['table']}: {row['type']}, {row['key']}" for row in rows)


def reads_all(plan: str) -> bool:
    """Tell whether a table of cq, or an index of it, is read from end to end.

    What is paused is a few rows, set by hand: that may be.
    """
    if connection.vendor == "postgresql":
        # At no cost: of a table that has been emptied, and that it knows to have no page.
        full = r"Seq Scan on cq_(?!pauses\b)\w+( \w+)? +\(cost=(?!0\.00\.\.0\.00 )"
        return bool(re.search(full, plan))
    if connection.vendor == "mysql":
        # What is derived within the statement has no key either.
        return bool(re.search(r"^(?!<)\w+: (ALL|index),", plan, re.MULTILINE))
    return bool(re.search(r"SCAN (t|cq_(?!pauses\b)\w+)\b(?!.* USING )", plan))


def rows_read(*tables: str) -> int:
    """Return how many rows, and entries of indexes, this transaction has read so far.

    PostgreSQL counts them; MariaDB those of a session, of all tables, and with some of this
    very look. SQLite has no such count: 0. tables: of cq; without any that of the tasks.
    """
    if connection.vendor == "sqlite":
        return 0
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " JOIN pg_class t ON t.oid = COALESCE(i.indrelid, c.oid)"
            " WHERE t.relname = ANY(%s)",
            [list(tables or ("cq_tasks",))],
        )
        return int(cursor.fetchone()[0])


def sorts(sql: str, params: Any = None) -> bool:
    """Tell whether MariaDB would put rows in order that no index has in it."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        extra = [column[0] for column in cursor.description].index("Extra")
        return any("filesort" in (row[extra] or "") for row in cursor.fetchall())
