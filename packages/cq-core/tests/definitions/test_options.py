"""Each option of ``.using()`` reaches the run: none is kept nowhere in silence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cq import task
from cq.definitions.options import FOR_RUNNER, NAMES, Options, Stored
from cq.execution.attempt import Attempt
from cq.models import Task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("options.plain", retries=9, backoff=7.0, timeout=99.0, log_limit=5)
def plain(cqt: Any) -> None: ...


#: A value for each option, other than the task's own.
OTHERS: dict[str, Any] = {
    "atomic": False,
    "backoff": None,
    "delay": timedelta(hours=1),
    "expires": timedelta(hours=1),
    "log_limit": None,
    "on_lost": "fail",
    "priority": 3,
    "queue": "mail",
    "result_ttl": 5.0,
    "retries": 0,
    "run_after": timedelta(hours=1),
    "timeout": None,
    "unique": "only one",
}
#: Options with a column of another name.
COLUMNS = {
    "delay": ("run_after", timedelta(hours=1)),
    "on_lost": ("rerun_lost", False),
    "unique": ("unique_key", "only one"),
}


def test_each_option_says_where_a_change_of_it_is_kept() -> None:
    code = {"durable", "redact", "retry_on", "schedulable"}
    # The context has tests of its own, and so have tags, what needs a key, and lanes.
    with_key = {"unique_for", "unique_for_failed", "debounce"}
    # And what only durable tasks have.
    others = {"limits", "fair", "deadline"}
    assert set(OTHERS) == NAMES - code - {"context", "tags"} - with_key - others
    assert {
        name
        for name, field in Options.__dataclass_fields__.items()
        if field.metadata[Stored] is Stored.CODE
    } == code


#: (option, as it is given, as the run has it)
GIVEN: list[tuple[str, Any, Any]] = [
    ("timeout", timedelta(minutes=2), 120.0),
    ("backoff", timedelta(seconds=5), 5.0),
    ("backoff", [10, 30, timedelta(minutes=1)], (10, 30, 60.0)),
    ("result_ttl", timedelta(days=1), 86_400.0),
    ("result_ttl", "7d", 604_800.0),
    ("result_ttl", "1.5h", 5_400.0),
]


@pytest.mark.parametrize(("name", "given", "seconds"), GIVEN)
def test_a_duration_may_be_a_timedelta(name: str, given: Any, seconds: Any) -> None:
    @task(f"options.given.{name}", **{name: given})
    def said(cqt: Any) -> None: ...

    assert getattr(said.definition.options, name) == seconds
    row = Task.objects.get(pk=plain.using(**{name: given}).delay().pk)
    if name in FOR_RUNNER:
        row.worker_id = 1
        attempt = Attempt(row)
        attempt.prepare()
        assert getattr(attempt.options, name) == seconds
    else:
        assert getattr(row, name) == seconds


@pytest.mark.parametrize("name", sorted(FOR_RUNNER - {"deadline"}))
def test_what_the_runner_reads_is_changed_for_this_call(name: str) -> None:
    made = plain.using(**{name: OTHERS[name]}).delay()
    row = Task.objects.get(pk=made.pk)
    row.worker_id = 1
    attempt = Attempt(row)
    attempt.prepare()

    assert getattr(attempt.options, name) == OTHERS[name]


@pytest.mark.parametrize("name", sorted(set(OTHERS) - FOR_RUNNER))
def test_what_has_a_column_is_in_it(name: str) -> None:
    made = plain.using(**{name: OTHERS[name]}).delay()
    column, value = COLUMNS.get(name, (name, OTHERS[name]))
    row = Task.objects.get(pk=made.pk)

    if isinstance(value, timedelta):
        # By the database's clock, as the row was written.
        assert getattr(row, column) - row.submitted > value / 2
    else:
        assert getattr(row, column) == value


def test_a_durable_task_is_not_atomic_and_runs_again_when_it_is_lost() -> None:
    found = Options().merged({"durable": True, "retries": 2})

    assert (found.atomic, found.on_lost, found.reruns_when_lost) == (
        False,
        "retry",
        True,
    )
    assert Options().merged({"durable": False, "atomic": True}).atomic


@pytest.mark.parametrize("given", [{"atomic": True}, {"on_lost": "fail"}])
def test_what_no_durable_task_has_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="a durable task was given"):
        Options().merged({"durable": True, **given})
    with pytest.raises(TypeError, match="a durable task was given"):
        Options(durable=True).merged(given)
