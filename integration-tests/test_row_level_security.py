"""The recipe of docs/hooks.md for row-level security: a task reaches the rows of its tenant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from examples import blocks

pytestmark = [pytest.mark.backend("postgres"), pytest.mark.django_db]


@pytest.fixture
def for_one_tenant() -> Any:
    """The middleware of the page, in a session that the policy of the page binds."""
    [policy] = blocks("docs/hooks.md", "sql")
    [code] = [b for b in blocks("docs/hooks.md") if "def for_one_tenant" in b]
    scope: dict[str, Any] = {}
    exec(code, scope)
    with connection.cursor() as cursor:
        # All of it is undone with the transaction of the test, the role as well.
        cursor.execute("CREATE TABLE shop_order (tenant_id bigint, title text)")
        cursor.execute("INSERT INTO shop_order VALUES (1, 'one'), (2, 'two')")
        cursor.execute(policy)
        cursor.execute("CREATE ROLE cq_one_tenant")
        cursor.execute("ALTER TABLE shop_order OWNER TO cq_one_tenant")
        cursor.execute("SET LOCAL ROLE cq_one_tenant")
    return scope["for_one_tenant"]


def titles(run: Any) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT title FROM shop_order ORDER BY title")
        return [title for (title,) in cursor.fetchall()]


def writes(run: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_order VALUES (2, 'another')")


def test_a_task_reaches_the_rows_of_its_tenant_alone(for_one_tenant: Any) -> None:
    assert titles(None) == []
    one, two, none = (
        SimpleNamespace(context=context)
        for context in ({"tenant": 1}, {"tenant": 2}, {})
    )
    assert for_one_tenant(titles, one) == ["one"]
    with pytest.raises(ProgrammingError, match="row-level"), transaction.atomic():
        for_one_tenant(writes, one)
    for_one_tenant(writes, two)
    assert for_one_tenant(titles, two) == ["another", "two"]
    assert for_one_tenant(titles, none) == []
