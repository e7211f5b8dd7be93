"""How loud an outage is told, and that it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from django.db import Error, OperationalError, connection, transaction

from cq.db import outage

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("cq.worker")
GONE = OperationalError("the server closed the connection\n\tThis probably means ...")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr(outage.time, "monotonic", lambda: now[0])
    outage.forget()
    yield now
    outage.forget()


def test_it_is_told_at_its_start_once_a_minute_and_at_its_end(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outage.ended(logger)
    for second in range(130):
        clock[0] = 1000.0 + second
        for thread in range(3):
            outage.log(logger, GONE, "could not do %d", thread)
    outage.ended(logger)
    outage.ended(logger)
    said = "could not do 0: OperationalError: the server closed the connection"
    assert caplog.messages == [said] * 3 + [
        "the database can be reached again, after 129.0 s"
    ]
    assert all(record.exc_info is None for record in caplog.records)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_session_that_broke_in_it_is_no_other_outage(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outage.log(logger, GONE, "could not")
    outage.ended(logger)
    caplog.clear()
    clock[0] += outage.ECHO_SECONDS / 2
    outage.log(logger, GONE, "could not")
    outage.ended(logger)
    assert caplog.messages == []
    clock[0] += outage.ECHO_SECONDS
    outage.log(logger, GONE, "could not")
    assert len(caplog.messages) == 1


def test_any_other_error_is_told_each_time_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        outage.log(logger, ValueError("no"), "could not do %d", 1)
    assert caplog.messages == ["could not do 1"] * 2
    assert all(record.exc_info for record in caplog.records)
    outage.ended(logger)
    assert len(caplog.messages) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("missing", ["one FROM cq_nothing", "of_later FROM cq_figures"])
def test_what_a_migration_has_to_make_is_told_in_an_outage_too(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    outage.log(logger, GONE, "could not")
    caplog.clear()
    with (
        pytest.raises(Error) as caught,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        # For SQLite and MySQL that is an OperationalError, as an outage is.
        cursor.execute(f"SELECT {missing}")
    outage.log(logger, caught.value, "could not")
    assert caplog.messages == ["could not"]
