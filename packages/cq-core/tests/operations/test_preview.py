"""What an operation would do: counts, examples, and what could not be told in time."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks  # noqa: F401  (forced rows name them)
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from forced import AFTER, forced, forced_many

from cq.db.timeouts import TookTooLong, at_most
from cq.operations import preview as previews
from cq.operations.filter import TaskFilter
from cq.operations.verbs import VERBS
from cq.status import Status

if TYPE_CHECKING:
    from cq.operations.preview import Preview

pytestmark = pytest.mark.django_db(transaction=True)


def preview(verb: str, **given: Any) -> Preview:
    return previews.preview("default", TaskFilter.of(given), VERBS[verb])


def test_it_counts_what_the_verb_is_for_and_says_why_not_the_others() -> None:
    failed = forced_many(7, Status.FAILURE)
    forced_many(2, Status.QUEUED)
    forced_many(3, Status.SKIPPED)
    forced(Status.INCOMPLETE, name="cq.group")
    forced(Status.FAILURE, failed[0], counted=False)

    seen = preview("retry")

    assert (seen.applies, seen.capped) == (7, False)
    assert seen.left == [
        ("FAILURE", "history", 1),
        ("INCOMPLETE", "container", 1),
        ("QUEUED", "status", 2),
        ("SKIPPED", "status", 3),
    ]
    newest = [task.pk for task in reversed(failed[-5:])]
    assert [example.id for example in seen.examples] == newest
    assert seen.oldest is not None
    assert seen.newest is not None
    assert (seen.oldest.id, seen.newest.id) == (failed[0].pk, failed[-1].pk)
    assert seen.oldest.recorded is not None


def test_of_what_waits_only_what_has_a_time_can_be_hastened() -> None:
    forced(Status.PENDING, run_after=AFTER)
    forced(Status.PENDING)
    forced(Status.PENDING, run_after=AFTER, open_edges=1)
    forced(Status.RETRY)
    seen = preview("now")
    assert seen.applies == 2
    assert seen.left == [("PENDING", "waits", 2)]


def test_where_nothing_matches_there_is_nothing() -> None:
    seen = preview("revoke", name=["nobody"])
    assert (seen.applies, seen.examples, seen.oldest) == (0, [], None)
    assert seen.left == []


def test_it_counts_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_COUNTED", 3)
    forced_many(3, Status.FAILURE)
    assert not preview("retry", status=["FAILURE"]).capped
    forced_many(3, Status.LOST)
    seen = preview("retry", status=["FAILURE", "LOST"])
    assert (seen.applies, seen.capped) == (4, True)


def test_it_is_a_handful_of_statements() -> None:
    forced_many(7, Status.FAILURE)
    forced_many(2, Status.QUEUED)
    with CaptureQueriesContext(connection) as seen:
        preview("retry")
    asked = [q for q in seen.captured_queries if "cq_tasks" in q["sql"]]
    assert len(asked) == 4


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "SECONDS", 0.001)
    monkeypatch.setattr("cq.db.timeouts.STEPS", 1)


@pytest.mark.usefixtures("_hurried")
def test_what_cannot_be_told_in_time_is_left_out() -> None:
    forced_many(3_000, Status.FAILURE)
    seen = preview("retry", name=["sample_tasks.square"])
    if seen.of_verb.counts is None:
        assert seen.applies is None
    # Whatever came of it, the connection is as it was.
    assert preview("retry", ids=["0199a5f000007000800000000000abcd"]) is not None


def sleep_a_minute(cursor: Any) -> None:
    cursor.execute(
        {
            "postgresql": "SELECT pg_sleep(60)",
            "mysql": "SELECT SLEEP(60)",
            "sqlite": (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                "SELECT COUNT(*) FROM n"
            ),
        }[connection.vendor]
    )


@pytest.mark.parametrize("inside", [False, True])
def test_a_statement_is_given_up_and_the_next_is_not(inside: bool) -> None:
    with (
        transaction.atomic() if inside else nullcontext(),
        connection.cursor() as cursor,
    ):
        with (
            pytest.raises(TookTooLong, match=r"it was given 0\.05 s"),
            at_most(connection, 0.05),
        ):
            sleep_a_minute(cursor)
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        if connection.vendor == "postgresql":
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)
