"""Which ends of runs are counted, as what, and wherever they run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sample_tasks
from django.core.management import call_command
from driving import claim, fresh, run, run_on_a_loop
from forced import NOW, forced, register

from cq import RetryLater, task
from cq.execution import sync_runner
from cq.figures.reading import Figures
from cq.figures.steps import minute_of
from cq.figures.writer import writer
from cq.maintenance.rescue import rescue, rescue_dead
from cq.models import Figure, Task
from cq.status import Status
from cq.tables.figure_columns import NUMBERS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task(retries=1, backoff=0)
def fails_at_first(cqt: Any) -> None:
    if cqt.attempts < 2:
        raise ValueError("not yet")


@task(timeout=0.01)
def takes_too_long(cqt: Any) -> None:
    while True:
        cqt.check()


@task
def puts_off(cqt: Any) -> None:
    raise RetryLater(5)


@task
def revokes_itself(cqt: Any) -> None:
    cqt.revoke()
    cqt.check()


@task(atomic=False)
async def awaits(cqt: Any) -> int:
    return 1


@task(atomic=False)
async def awaits_and_fails(cqt: Any) -> int:
    raise ValueError("no")


def counted() -> dict[str, Figures]:
    """By the last part of the name."""
    found: dict[str, Figures] = {}
    for (_, _, name, _), numbers in writer.counter.take().items():
        last = name.rpartition(".")[2]
        assert last not in found
        found[last] = Figures.of(numbers)
    return found


def ends(figures: Figures) -> dict[str, int]:
    names = ("complete", "failed", "retried", "lost", "timed_out")
    return {name: n for name in names if (n := getattr(figures, name))}


def test_one_that_returns_is_complete_with_how_long_it_waited_and_took() -> None:
    made = sample_tasks.square.delay(3)
    Task.objects.filter(pk=made.pk).update(submitted=NOW - timedelta(seconds=4))

    run(made, NOW)

    ((key, numbers),) = writer.counter.take().items()
    found = Figures.of(numbers)
    assert key == ("default", minute_of(NOW), "sample_tasks.square", "default")
    assert ends(found) == {"complete": 1}
    assert found.waited == pytest.approx(4.0)
    assert 0 < found.took < 60
    assert (sum(found.waits), sum(found.durations)) == (1, 1)
    assert found.wait(1.0) == 5.0


def test_one_that_waits_for_its_subtasks_has_returned() -> None:
    parent = run(sample_tasks.send_emails.delay(["a", "b"]))
    assert parent.status == Status.WAITING
    assert ends(counted()["send_emails"]) == {"complete": 1}


def test_one_that_raises_has_failed_or_is_to_be_retried() -> None:
    made = fails_at_first.delay()
    run(sample_tasks.fails.delay())
    run(made)
    found = counted()
    assert ends(found["fails"]) == {"failed": 1}
    assert ends(found["fails_at_first"]) == {"retried": 1}
    # How long it took says nothing.
    assert not sum(found["fails"].durations + found["fails_at_first"].waits)


def test_one_that_is_out_of_time_has_failed_as_well() -> None:
    run(takes_too_long.delay())
    assert ends(counted()["takes_too_long"]) == {"failed": 1, "timed_out": 1}


def test_one_that_asks_to_be_called_later_is_to_be_retried() -> None:
    assert run(puts_off.delay()).status == Status.RETRY
    assert ends(counted()["puts_off"]) == {"retried": 1}


def test_one_that_was_revoked_or_taken_away_counts_for_nothing() -> None:
    assert run(revokes_itself.delay()).status == Status.REVOKED
    taken = claim(sample_tasks.square.delay(1))
    Task.objects.filter(pk=taken.pk).update(fence=9)
    sync_runner.execute(taken)
    assert counted() == {}


class Later:
    """A completer that leaves what it is given undone."""

    def add(self, claim: Any, result: Any) -> None: ...

    def settled(self, claim: Any) -> None: ...


def test_one_that_a_completer_settles_counts_once() -> None:
    for name in (sample_tasks.square, sample_tasks.square):
        sync_runner.execute(claim(name.delay(2)), Later())
    sync_runner.execute(claim(sample_tasks.fails.delay()), Later())
    found = counted()
    assert ends(found["square"]) == {"complete": 2}
    assert ends(found["fails"]) == {"failed": 1}


def test_coroutines_on_a_loop_count() -> None:
    run_on_a_loop(awaits.delay())
    run_on_a_loop(awaits_and_fails.delay())
    found = counted()
    assert ends(found["awaits"]) == {"complete": 1}
    assert ends(found["awaits_and_fails"]) == {"failed": 1}


def test_runs_in_line_count(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    made = sample_tasks.square.delay(3)
    assert fresh(made).status == Status.COMPLETE
    assert ends(counted()["square"]) == {"complete": 1}


def test_a_task_that_is_called_like_a_function_counts_and_has_not_waited() -> None:
    assert sample_tasks.square(3) == 9
    with pytest.raises(ValueError, match="no"):
        sample_tasks.fails()
    fails_at_first()
    found = counted()
    assert ends(found["square"]) == {"complete": 1}
    assert (sum(found["square"].durations), sum(found["square"].waits)) == (1, 0)
    assert ends(found["fails"]) == {"failed": 1}
    assert ends(found["fails_at_first"]) == {"complete": 1, "retried": 1}


def test_a_loss_is_counted_by_who_rescues() -> None:
    register(seen=NOW)
    forced(Status.RUNNING, queue="mail")
    forced(Status.RUNNING, queue="mail", rerun_lost=False)
    assert rescue("default", 11, "it was gone", NOW) == 2
    ((key, numbers),) = writer.counter.take().items()
    assert key == ("default", minute_of(NOW), "sample_tasks.square", "mail")
    assert ends(Figures.of(numbers)) == {"lost": 2}
    assert rescue_dead("default", NOW) == 0
    assert counted() == {}


def test_what_the_command_runs_is_written_when_it_ends() -> None:
    sample_tasks.square.delay(3)
    sample_tasks.square.using(queue="mail").delay(3)
    call_command("cq", "run")
    rows = Figure.objects.order_by("queue").values_list("queue", *NUMBERS)
    assert [(queue, ends(Figures.of(n))) for queue, *n in rows] == [
        ("default", {"complete": 1}),
        ("mail", {"complete": 1}),
    ]
    assert not writer.counter


def test_where_figures_are_off_nothing_is_counted(settings: Any) -> None:
    settings.CQ_FIGURES = False
    run(sample_tasks.square.delay(3))
    run(sample_tasks.fails.delay())
    sample_tasks.square(3)
    forced(Status.RUNNING)
    rescue("default", 11, "it was gone")
    assert counted() == {}
