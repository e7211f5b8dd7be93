"""A database is emptied after each test that commits: what has rows, and nothing else.

Django's flush truncates every table and then makes content types and permissions anew.
With three thousand tests on each of six servers, that was a good part of the time that
all of them took.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.test import TransactionTestCase

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: What `migrate` has put there, and no test changes.
KEPT = {"auth_permission", "django_content_type", "django_migrations"}
#: Bytes. On PostgreSQL a DELETE leaves the rows there for VACUUM; what has grown beyond
#: this is truncated, which costs files and makes an empty table.
GROWN = 1024 * 1024


def install() -> None:
    """Every ``TransactionTestCase``, so also pytest-django's ``transactional_db``."""
    TransactionTestCase._fixture_teardown = _fixture_teardown


def _fixture_teardown(case: TransactionTestCase) -> None:
    for alias in case._databases_names(include_mirrors=False):
        _empty(connections[alias])


def _empty(connection: BaseDatabaseWrapper) -> None:
    quote = connection.ops.quote_name
    tables = [quote(table) for table in _tables(connection.alias)]
    asked = ", ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(f"SELECT {asked}")
        filled = [
            table for table, has in zip(tables, cursor.fetchone(), strict=True) if has
        ]
        grown: list[str] = []
        if filled and connection.vendor == "postgresql":
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) name "
                "WHERE pg_relation_size(name::regclass) > %s",
                [filled, GROWN],
            )
            grown = [name for (name,) in cursor.fetchall()]
        # First: it is refused while a DELETE has checks of foreign keys outstanding.
        if grown:
            cursor.execute(f"TRUNCATE {', '.join(grown)} CASCADE")
        with connection.constraint_checks_disabled():
            for table in filled:
                if table not in grown:
                    cursor.execute(f"DELETE FROM {table}")


@cache
def _tables(alias: str) -> list[str]:
    found = connections[alias].introspection.django_table_names(
        only_existing=True, include_views=False
    )
    return sorted(set(found) - KEPT)
