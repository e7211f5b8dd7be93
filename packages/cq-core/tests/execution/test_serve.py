"""Running what is due on one thread: once, or until told to stop."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.db import OperationalError
from django.utils import timezone

from cq import task
from cq.db import outage
from cq.db.outage import ReconnectDelay
from cq.execution import serve as serving
from cq.execution.inline import inline_runner
from cq.execution.serve import serve
from cq.lifecycle import Claim
from cq.models import Task, Worker
from cq.status import Status
from cq.workers import lease
from cq.workers.claim_order import claim_next

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

ran: list[Any] = []
stop = threading.Event()


@pytest.fixture(autouse=True)
def _fresh(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    ran.clear()
    stop.clear()


@task
def notes(cqt: Any, what: Any) -> None:
    ran.append(what)


@task
def notes_and_stops(cqt: Any, what: Any) -> None:
    ran.append(what)
    stop.set()


@task
def starts_another(cqt: Any, what: Any, queue: str = "default") -> None:
    ran.append(what)
    notes.using(queue=queue).delay([what])


@task(atomic=False)
def waits_for_another(cqt: Any) -> Any:
    return sample_tasks.square.delay(4).get()


@task(retries=2, backoff=0)
def fails_twice(cqt: Any) -> int:
    if cqt.attempts < 3:
        raise ValueError("not yet")
    return cqt.attempts


class Script(threading.Event):
    """A stop that does the next thing where the loop would wait, and then stops it."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if self.steps:
            self.steps.pop(0)()
        else:
            self.set()
        return self.is_set()


def once(**kwargs: Any) -> int:
    return serve("default", stop, once=True, **kwargs)


def test_everything_queued_is_run_in_order() -> None:
    for number, priority in enumerate((0, 5, -5, 5)):
        notes.using(priority=priority, queue=f"q{number}").delay(number)

    assert once() == 4

    assert ran == [1, 3, 0, 2]
    assert set(Task.objects.values_list("status", flat=True)) == {Status.COMPLETE}
    assert not Worker.objects.exists()


def test_nothing_to_do_is_done_at_once() -> None:
    assert once() == 0


def test_subtasks_and_what_follows_are_run_too() -> None:
    parent = sample_tasks.merge_squares.delay(3)

    assert once() == 5

    parent.refresh_from_db()
    assert (parent.status, parent.result) == (Status.COMPLETE, [0, 1, 4])


def test_only_the_queues_that_are_named_are_served() -> None:
    starts_another.using(queue="a").delay(1, queue="b")
    starts_another.using(queue="c").delay(2, queue="a")
    starts_another.using(queue="a").delay(3, queue="a")

    assert once(queues=["a"]) == 3
    assert ran == [1, 3, [3]]
    assert once(queues=["b", "c"]) == 2
    assert ran[3:] == [2, [1]]


@pytest.mark.parametrize("inline", [True, False])
def test_what_a_task_starts_waits_for_its_turn(settings: Any, inline: bool) -> None:
    settings.CQ_RUN_INLINE = False
    starts_another.delay(1)
    notes.delay(2)
    notes.using(priority=9).delay(3)
    settings.CQ_RUN_INLINE = inline

    assert once() == 4

    assert ran == [3, 1, 2, [1]]
    assert not inline_runner.waiting
    assert not inline_runner.running


def test_a_task_may_wait_for_what_it_started(settings: Any) -> None:
    waiting = waits_for_another.delay()
    settings.CQ_RUN_INLINE = True

    once()

    waiting.refresh_from_db()
    assert (waiting.status, waiting.result) == (Status.COMPLETE, 16)


def test_what_has_come_to_its_time_is_run() -> None:
    due = notes.using(run_after=timedelta(hours=1)).delay("due")
    notes.using(run_after=timedelta(hours=1)).delay("later")
    late = notes.using(expires=timedelta(hours=1)).delay("late")
    before = timezone.now() - timedelta(minutes=1)
    Task.objects.filter(pk=due.pk).update(run_after=before)
    Task.objects.filter(pk=late.pk).update(expires=before)

    assert once() == 1

    assert ran == ["due"]
    late.refresh_from_db()
    assert late.status == Status.EXPIRED


def test_retries_that_are_due_are_run_in_the_same_go() -> None:
    retried = fails_twice.delay()

    assert once() == 3

    retried.refresh_from_db()
    assert (retried.status, retried.result) == (Status.COMPLETE, 3)


def test_what_a_dead_worker_left_is_run_again() -> None:
    left = notes.delay("left")
    [claimed] = claim_next("default", 12345, 1)
    assert claimed.pk == left.pk

    assert once() == 1

    left.refresh_from_db()
    assert (left.status, left.losses, left.attempts) == (Status.COMPLETE, 1, 2)


def test_a_stop_is_heeded_after_the_task_that_runs() -> None:
    notes.delay(1)
    notes_and_stops.delay(2)
    notes.delay(3)

    assert once() == 2

    assert ran == [1, 2]
    assert Task.objects.get(status=Status.QUEUED).args == (3,)


def test_the_loop_goes_on_until_it_is_stopped(settings: Any) -> None:
    settings.CQ_POLL = 0.75
    notes.delay(1)
    script = Script(
        lambda: notes.delay(2),
        lambda: [notes.delay(3), notes.using(priority=1).delay(4)],
    )

    assert serve("default", script, once=False) == 4

    assert ran == [1, 2, 4, 3]
    assert len(script.waits) == 3
    assert all(0 < wait <= 0.75 for wait in script.waits if wait is not None)
    assert not Worker.objects.exists()


def test_the_loop_has_a_lease_that_names_its_queues() -> None:
    seen: list[tuple[str, Any]] = []
    script = Script(lambda: seen.extend(Worker.objects.values_list("kind", "queues")))

    serve("default", script, once=False, queues=["a"])

    assert seen == [("run", ["a"])]


def test_row_34_trouble_with_the_database_is_outlasted_and_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outage.forget()
    notes.delay(1)
    broken = [True, True, False]

    def claims(*args: Any, **kwargs: Any) -> Any:
        if broken.pop(0) if broken else False:
            raise OperationalError("the server is gone")
        return claim_next(*args, **kwargs)

    monkeypatch.setattr(serving, "claim_next", claims)
    script = Script(lambda: None, lambda: None)

    assert serve("default", script, once=False) == 1

    assert ran == [1]
    # Longer pauses each time, and the usual one again when all is well.
    assert script.waits[:2] == [ReconnectDelay().first, ReconnectDelay().first * 2]
    assert caplog.text.count("could not serve 'default'") == 1


def test_once_says_what_is_wrong_with_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes.delay(1)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(serving, "claim_next", broken)

    with pytest.raises(OperationalError, match="the server is gone"):
        once()
    assert not Worker.objects.exists()


def test_a_run_whose_outcome_could_not_be_written_is_rescued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = notes.delay(1)
    execute = serving.sync_runner.execute
    broken = [True]

    def executes(*args: Any, **kwargs: Any) -> Any:
        if broken and broken.pop():
            raise OperationalError("no answer")
        return execute(*args, **kwargs)

    monkeypatch.setattr(serving.sync_runner, "execute", executes)

    assert serve("default", Script(lambda: None), once=False) == 1

    left.refresh_from_db()
    assert (left.status, left.losses, left.attempts) == (Status.COMPLETE, 1, 2)


def test_a_run_that_was_given_away_meanwhile_changes_nothing() -> None:
    revoked = revokes_itself.delay()
    notes.delay(2)

    assert once() == 2

    revoked.refresh_from_db()
    assert revoked.status == Status.REVOKED
    assert ran == [2]


@task(atomic=False)
def revokes_itself(cqt: Any) -> None:
    Task.objects.get(pk=cqt.pk).revoke()


def test_a_claim_that_is_not_ours_is_left_alone() -> None:
    """A sweep rescues what this server holds, never what another one runs."""
    other = lease.Lease("default", "other")
    other.register()
    try:
        elsewhere = notes.delay("elsewhere")
        [claimed] = claim_next("default", other.worker, 1)

        assert serve("default", Script(lambda: None), once=False) == 0

        elsewhere.refresh_from_db()
        held = Claim(elsewhere.pk, elsewhere.fence, other.worker)
        assert elsewhere.status == Status.RUNNING
        assert held == Claim(claimed.pk, claimed.fence, other.worker)
    finally:
        other.close()
