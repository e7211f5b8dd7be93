"""PostgreSQL's own limits, which end the session of a task that takes its time."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import pytest
from django.core import checks
from django.db import connection
from driving import run

from cq import task
from cq.db import timeouts
from cq.definitions import registry
from cq.definitions.options import Options
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres", "valkey"),
    # A pooler has its sessions already, from before the role was changed.
    pytest.mark.direct,
]


@pytest.fixture
def role() -> Iterator[Any]:
    """Gives new sessions a limit; those that are open have none."""
    changed: list[str] = []

    def limit(name: str, value: str) -> None:
        changed.append(name)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")
        connection.close()

    yield limit
    connection.close()
    with connection.cursor() as cursor:
        for name in changed:
            cursor.execute(f"ALTER ROLE CURRENT_USER RESET {name}")
    connection.close()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets only the given tasks be registered: names with their options."""

    def only(**tasks: Options) -> None:
        monkeypatch.setattr(registry, "_definitions", {})
        for name, options in tasks.items():
            registry.define(name, lambda cqt: None, options)

    return only


def warnings() -> list[checks.CheckMessage]:
    found = checks.run_checks(tags=["database"], databases=["default"])
    return [message for message in found if message.id == "cq.W008"]


def test_row_44_the_row_names_the_limit_its_value_and_what_to_do(
    settings: Any, role: Any
) -> None:
    settings.CQ_RUN_INLINE = False

    @task(name="thinks in its transaction")
    def thinks(cqt: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        select.select([connection.connection.fileno()], [], [], 60)

    waiting = thinks.delay()
    role(timeouts.IDLE, "500ms")

    handle = run(waiting)

    assert handle.status == Status.FAILURE
    assert "terminating connection due to idle-in-transaction timeout" in handle.error
    assert "by its idle_in_transaction_session_timeout" in handle.error
    assert "0.5 s here" in handle.error
    assert "ALTER ROLE ... SET idle_in_transaction_session_timeout" in handle.error


@pytest.mark.parametrize(
    "options",
    [
        Options(),  # may take an hour
        Options(timeout=121),
    ],
)
def test_row_44_a_check_names_a_limit_that_is_too_short(
    role: Any, known: Any, options: Options
) -> None:
    role(timeouts.IDLE, "2min")
    role(timeouts.STATEMENT, "30s")
    known(short=Options(timeout=5), lengthy=options)

    (found,) = warnings()

    assert "'lengthy'" in found.msg
    assert "idle_in_transaction_session_timeout is 120 s" in found.msg
    assert "statement_timeout is 30 s" in found.msg
    assert found.hint is not None
    assert "timeout" in found.hint


@pytest.mark.parametrize(
    "options",
    [
        Options(timeout=119),
        Options(atomic=False),  # has no transaction to be idle in
    ],
)
def test_row_44_a_check_is_content_with_a_limit_that_no_task_reaches(
    role: Any, known: Any, options: Options
) -> None:
    role(timeouts.IDLE, "2min")
    known(swift=options)

    assert warnings() == []


def test_no_limit_is_no_trouble(known: Any) -> None:
    known(lengthy=Options())

    assert warnings() == []
