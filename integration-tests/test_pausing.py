"""Queues and tasks that are paused while real workers run them."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq import queues
from cq.conf import conf
from cq.db.clock import database_now
from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes import Workers

pytestmark = pytest.mark.django_db(transaction=True)

#: More than run within seconds, and short enough to be claimed ahead.
MANY, SHORT = 4_000, 0.005
#: Looks of a worker at the table in which nothing has started: it knows by then.
LOOKS = 5


@pytest.fixture(autouse=True)
def _resumed(transactional_db: None) -> Iterator[None]:
    yield
    for name in queues.paused():
        queues.resume(name)


def mails(count: int = MANY, first: int = 0) -> list[Task]:
    some = tasks.effect.using(queue="mail")
    return list(some.delay_many([(first + n, SHORT) for n in range(count)]))


def of_mail(**filters: object) -> int:
    return Task.objects.filter(queue="mail", **filters).count()


def begun() -> int:
    """How many have been started, or have ended."""
    return of_mail() - of_mail(status=Task.STATUS_QUEUED)


def until_nothing_starts() -> None:
    """Wait until no worker starts anything of the queue, or has any of it claimed."""
    seen, since = -1, time.monotonic()

    def rests() -> bool:
        nonlocal seen, since
        now = begun()
        if now != seen or of_mail(status=Task.STATUS_RUNNING):
            seen, since = now, time.monotonic()
        return time.monotonic() - since > LOOKS * conf.POLL

    until(rests, "the workers to stop starting")


def test_all_workers_stop_and_hand_back_what_they_have_claimed_ahead(
    workers: Workers,
) -> None:
    for _ in range(2):
        workers.start("--threads", "2")
    mails()
    until(lambda: of_mail(status=Task.STATUS_COMPLETE) > 20, "some to run")

    queues.pause("mail", reason="provider is down")
    until_nothing_starts()

    left = Task.objects.filter(queue="mail", status=Task.STATUS_QUEUED)
    assert left.count() > MANY / 10
    # No attempt is burnt, and whatever began has ended well.
    assert not left.exclude(attempts=0, losses=0, started=None).exists()
    assert begun() == of_mail(status=Task.STATUS_COMPLETE)
    # Others go on, and what is paused is recorded as ever.
    assert tasks.square.delay(3).get(PATIENCE) == 9
    [more] = mails(1, first=MANY)
    assert tasks.square.delay(4).get(PATIENCE) == 16
    more.refresh_from_db()
    assert (more.status, more.attempts) == (Task.STATUS_QUEUED, 0)
    assert "queue 'mail' is paused" in more.why()

    before = begun()
    queues.resume("mail")
    until(lambda: begun() > before, "it to go on")
    keys = list(Effect.objects.values_list("key", flat=True))
    assert len(keys) == len(set(keys))


def test_a_paused_task_lets_others_of_its_queue_by(workers: Workers) -> None:
    queues.pause(task="floor.tasks.effect")
    waiting = tasks.effect.delay_many([(n,) for n in range(300)])
    worker = workers.start("--threads", "1")

    assert tasks.square.delay(5).get(PATIENCE) == 25
    assert tasks.square.delay(6).get(PATIENCE) == 36

    assert not Effect.objects.exists()
    queues.resume(task="floor.tasks.effect")
    assert waiting[-1].wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert worker.terminate() == 0


def test_who_starts_while_it_is_paused_starts_nothing_and_it_ends_by_itself(
    workers: Workers,
) -> None:
    [waiting] = mails(1)
    end = database_now("default") + timedelta(seconds=8)
    queues.pause("mail", until=end)
    workers.start("--threads", "1")

    assert waiting.wait(PATIENCE).status == Task.STATUS_COMPLETE

    assert waiting.attempts == 1
    assert waiting.started >= end
    assert queues.paused() == {}


def test_a_burst_does_not_wait_for_what_is_paused(workers: Workers) -> None:
    [waiting] = mails(1)
    queues.pause("mail")
    other = tasks.square.delay(2)

    assert workers.command("cqworker", "--burst").popen.wait(PATIENCE) == 0

    other.refresh_from_db()
    waiting.refresh_from_db()
    assert other.status == Task.STATUS_COMPLETE
    assert (waiting.status, waiting.attempts) == (Task.STATUS_QUEUED, 0)


def test_cq_run_leaves_it_alone_and_says_so_unless_it_is_told_otherwise(
    workers: Workers,
) -> None:
    [waiting] = mails(1)
    queues.pause("mail", reason="provider is down")

    first = workers.command("cq", "run")
    assert first.popen.wait(PATIENCE) == 0
    assert "left alone: queue 'mail' is paused since" in first.output
    waiting.refresh_from_db()
    assert waiting.status == Task.STATUS_QUEUED

    second = workers.command("cq", "run", "--paused")
    assert second.popen.wait(PATIENCE) == 0
    assert "run all the same: queue 'mail' is paused since" in second.output
    waiting.refresh_from_db()
    assert waiting.status == Task.STATUS_COMPLETE


def test_cq_run_loop_heeds_what_is_paused_while_it_has_enough_to_do(
    workers: Workers,
) -> None:
    workers.command("cq", "run", "--loop")
    mails()
    until(lambda: of_mail(status=Task.STATUS_COMPLETE) > 5, "some to run")

    queues.pause("mail")
    until_nothing_starts()

    assert of_mail(status=Task.STATUS_QUEUED) > 0
    assert tasks.square.delay(3).get(PATIENCE) == 9
    queues.resume("mail")
    before = begun()
    until(lambda: begun() > before, "it to go on")


def test_one_that_was_frozen_asks_before_it_claims(workers: Workers) -> None:
    worker = workers.start("--threads", "1")
    assert tasks.square.delay(2).get(PATIENCE) == 4
    worker.signal_group(signal.SIGSTOP)
    try:
        waiting = mails(3)
        queues.pause("mail")
        # Longer than what it has heard last is good for.
        time.sleep(2 * conf.POLL)
    finally:
        worker.signal_group(signal.SIGCONT)

    assert tasks.square.delay(3).get(PATIENCE) == 9
    assert tasks.square.delay(4).get(PATIENCE) == 16
    for task in waiting:
        task.refresh_from_db()
        assert (task.status, task.fence) == (Task.STATUS_QUEUED, 0)


def test_killed_in_the_middle_nothing_is_lost_nor_run_twice(workers: Workers) -> None:
    worker = workers.start("--threads", "2")
    mails()
    until(lambda: of_mail(status=Task.STATUS_COMPLETE) > 20, "some to run")
    queues.pause("mail")
    worker.kill()

    workers.start("--threads", "2")
    until_nothing_starts()
    assert of_mail(status=Task.STATUS_QUEUED) > 0

    queues.resume("mail")
    until(lambda: of_mail(status=Task.STATUS_COMPLETE) == MANY, "all to be done")
    assert sorted(Effect.objects.values_list("key", flat=True)) == list(range(MANY))
