"""What is paused: who knows it when, and what it costs those who claim."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.db import OperationalError, connection, transaction
from plans import analyze, plan, reads_all

from cq import queues, task
from cq.conf import conf
from cq.db.clock import database_now
from cq.models import Pause, Task
from cq.models.waiting import _not_done_in_time
from cq.workers import pauses as pausing
from cq.workers import picking
from cq.workers.claim_order import claim_ids, claim_next
from cq.workers.cursors import FRONT_SPACING, Looks, Passing
from cq.workers.pauses import (
    BY_OWN_LOOKS,
    GOOD_FOR,
    KnownPauses,
    Paused,
    in_words,
    why_paused,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DB = "default"
PAUSED = frozenset({"pausing.mail"})

pytestmark = pytest.mark.django_db


@task("pausing.mail", queue="mail")
def mail(cqt: Any, number: int) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@contextmanager
def noted() -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def mail_in_front(count: int) -> list[Task]:
    waiting = mail.using(queue="default").delay_many([(n,) for n in range(count)])
    behind = sample_tasks.square.delay(3)
    return [*waiting, behind]


# --- what a claim leaves out ----------------------------------------------------------


def test_a_claim_passes_over_what_is_paused_in_front_of_others(worker: int) -> None:
    *waiting, behind = mail_in_front(7)

    assert claim_next(DB, worker, 5, passing=Passing(PAUSED)) == [behind]
    assert claim_next(DB, worker, 5, passing=Passing(PAUSED)) == []
    assert claim_next(DB, worker, 9) == waiting


def test_what_is_paused_is_passed_over_by_parts_and_each_of_it_once(
    worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picking, "MAX_PASSED_OVER", 10)
    *_, behind = mail_in_front(95)
    cursors: dict[Any, Any] = {}

    with noted() as first:
        assert claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors=cursors) == [
            behind
        ]
    parts = [params for sql, params in first if "LIMIT 10" in sql]
    # Ten parts, the last of which has fewer.
    assert len(parts) == 10

    later = sample_tasks.square.delay(4)
    with noted() as second:
        assert claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors=cursors) == [
            later
        ]
    assert len([sql for sql, _ in second if "LIMIT 10" in sql]) == 1


def test_a_claim_stops_after_some_parts_and_goes_on_where_it_was(
    worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picking, "MAX_PASSED_OVER", 10)
    monkeypatch.setattr(picking, "MOST_PARTS", 3)
    *_, behind = mail_in_front(95)
    cursors: dict[Any, Any] = {}
    passing = Passing(PAUSED)

    for _ in range(3):
        passing.more = False
        with noted() as statements:
            assert claim_next(DB, worker, 5, passing=passing, cursors=cursors) == []
        assert len([sql for sql, _ in statements if "LIMIT 10" in sql]) == 3
        assert passing.more
    passing.more = False
    assert claim_next(DB, worker, 5, passing=passing, cursors=cursors) == [behind]
    assert not passing.more


def test_what_comes_as_the_last_part_was_read_is_claimed_next(
    worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_in_front(3)
    cursors: dict[Any, Any] = {}
    claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors=cursors)
    own, late = picking.last_of_pair, []

    def last(using: str, pair: Any) -> Any:
        late.append(sample_tasks.square.delay(7))
        mail.using(queue="default").delay(8)
        return own(using, pair)

    with monkeypatch.context() as patch:
        patch.setattr(picking, "last_of_pair", last)
        claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors=cursors)
    assert late
    found = claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors=cursors)
    assert found == late


def test_the_claim_of_a_part_uses_the_index(
    worker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picking, "MAX_PASSED_OVER", 100)
    # What has finished since stands behind what waits, by its id.
    mail_in_front(500)
    done = sample_tasks.square.delay_many([(n,) for n in range(5000)])
    sample_tasks.square.delay(3)
    Task.objects.filter(pk__in=[t.pk for t in done]).update(
        status=Task.STATUS_COMPLETE, finished=database_now(DB)
    )
    analyze("cq_tasks")

    with noted() as statements:
        claim_next(DB, worker, 5, passing=Passing(PAUSED), cursors={})

    finding = [(sql, params) for sql, params in statements if "'QUEUED'" in sql]
    # The pairs, six parts, one claim by its id, and the last of the pair.
    assert len([sql for sql, _ in finding if "LIMIT 100" in sql]) == 6
    for sql, params in finding:
        found = plan(sql, params)
        assert not reads_all(found), found
        assert "cq_ready" in found or "UPPER(status)" in sql, found


def test_a_coroutine_that_is_paused_is_claimed_neither(worker: int) -> None:
    mail_in_front(2)

    assert (
        claim_next(DB, worker, 5, only=["pausing.mail"], passing=Passing(PAUSED)) == []
    )


def test_an_id_that_is_rung_for_is_left_alone_as_well(worker: int) -> None:
    *waiting, behind = mail_in_front(2)
    ids = [made.pk for made in (*waiting, behind)]

    assert claim_ids(DB, worker, ids, without=sorted(PAUSED)) == [behind]


# --- from where a look begins ---------------------------------------------------------


def test_looks_begin_at_the_front_less_often_the_longer_they_pass_over() -> None:
    now = [100.0]
    looks = Looks(lambda: now[0])
    assert looks.begin()
    looks.passing.seconds += 0.5

    now[0] += conf.POLL
    assert looks.due
    assert not looks.begin()
    assert not looks.due
    now[0] += 0.5 * FRONT_SPACING
    assert looks.begin()

    # What takes no time to speak of is read from the front each time.
    looks.passing.seconds += 0.001
    now[0] += conf.POLL
    assert looks.begin()


def test_what_is_passed_over_counts_whatever_is_found(worker: int) -> None:
    *_, behind = mail_in_front(3)
    looks = Looks()
    looks.restart(PAUSED)

    which = {"passing": looks.passing, "cursors": looks.cursors}
    assert claim_next(DB, worker, 1, **which) == [behind]
    passed = looks.passing.seconds
    assert passed > 0

    later = sample_tasks.square.delay(4)
    assert claim_next(DB, worker, 1, **which) == [later]
    # That one began behind what is paused.
    assert looks.passing.seconds == passed


def test_looks_begin_at_the_front_at_once_where_other_things_are_paused() -> None:
    now = [100.0]
    looks = Looks(lambda: now[0])
    looks.passing.seconds += 60.0
    looks.cursors["default", 0, False] = pausing.CHANGED
    looks.restart(PAUSED)
    assert looks.cursors == {}
    assert looks.begin()
    assert looks.passing.names == PAUSED


# --- who knows it ---------------------------------------------------------------------


def reads(known: KnownPauses) -> int:
    with noted() as statements:
        known.refresh()
    return len(statements)


def test_who_is_new_asks_before_the_first_claim() -> None:
    queues.pause("mail")

    known = KnownPauses(DB)

    assert known.refresh()
    assert known.now == Paused(frozenset({"mail"}), frozenset())
    assert not known.refresh()


def test_who_hears_of_looks_that_find_nothing_asks_nothing() -> None:
    now = [100.0]
    known = KnownPauses(DB, lambda: now[0])
    assert reads(known) == 1
    for _ in range(20):
        now[0] += conf.POLL
        assert not known.looked(False, now[0])
        assert reads(known) == 0


def test_who_has_heard_of_no_look_for_a_while_asks_himself() -> None:
    now = [100.0]
    known = KnownPauses(DB, lambda: now[0])
    reads(known)
    now[0] += GOOD_FOR * conf.POLL

    # As one that was frozen, or whose maintenance has come to a halt.
    queues.pause("mail")
    assert known.refresh()
    assert known.now.any


def test_a_look_counts_from_when_it_began() -> None:
    now = [100.0]
    known = KnownPauses(DB, lambda: now[0])
    reads(known)
    # Frozen between its statement and what is made of that.
    began = now[0]
    now[0] += 3600
    known.looked(False, began)

    assert reads(known) == 1


def test_while_something_is_paused_each_look_has_it_read() -> None:
    known = KnownPauses(DB)
    queues.pause("mail")
    assert known.looked(True, 0.0)
    assert known.refresh()
    queues.resume("mail")
    assert known.looked(False, 0.0)
    assert known.refresh()
    assert not known.now.any


def test_what_could_not_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownPauses(DB)
    known.refresh()
    queues.pause("mail")
    known.rung()
    with monkeypatch.context() as patch:

        def fails(using: str) -> Any:
            raise OperationalError("away")

        patch.setattr(pausing, "paused_now", fails)
        with pytest.raises(OperationalError):
            known.refresh()

    assert known.refresh()


def test_a_pause_ends_by_itself_by_the_clock_of_the_database() -> None:
    queues.pause("mail", until=database_now(DB) + timedelta(hours=1))
    known = KnownPauses(DB)
    known.refresh()
    assert known.now.queues == {"mail"}

    Pause.objects.update(until=database_now(DB) - timedelta(seconds=1))
    known.rung()

    assert known.refresh()
    assert not known.now.any
    assert pausing.delete_ended(DB) == 1
    assert not Pause.objects.exists()
    assert pausing.delete_ended(DB) == 0


def test_who_has_only_his_own_looks_asks_within_a_second(settings: Any) -> None:
    settings.CQ_POLL = 3600
    now = [100.0]
    known = KnownPauses(DB, lambda: now[0], good_for=BY_OWN_LOOKS)
    reads(known)
    now[0] += 0.95
    assert reads(known) == 1


@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
@pytest.mark.backend("postgres", "mariadb")
def test_a_pause_that_is_being_changed_keeps_nobody_from_claiming() -> None:
    queues.pause("mail", until=database_now(DB) + timedelta(hours=1))
    Pause.objects.update(until=database_now(DB) - timedelta(seconds=1))
    held, done = threading.Event(), threading.Event()

    def changes() -> None:
        with transaction.atomic():
            Pause.objects.update(reason="being changed")
            held.set()
            done.wait(60)
        connection.close()

    thread = threading.Thread(target=changes)
    thread.start()
    try:
        assert held.wait(60)
        assert KnownPauses(DB).refresh() is False
        assert pausing.delete_ended(DB) == 0
    finally:
        done.set()
        thread.join()


# --- in words -------------------------------------------------------------------------


def test_a_pause_says_since_when_by_whom_and_why() -> None:
    made = queues.pause("mail", reason="provider is down.", by="ann")
    waiting = mail.delay(1)
    found = Pause.objects.get()

    assert in_words(found) == why_paused(DB, waiting)
    assert in_words(found).startswith("queue 'mail' is paused since 20")
    assert in_words(found).endswith(" by ann: provider is down")
    assert made.since == found.since
    assert why_paused(DB, sample_tasks.square.delay(1)) is None


def test_what_is_paused_says_why_it_does_not_run() -> None:
    queues.pause(task="pausing.mail", until=database_now(DB) + timedelta(hours=1))
    waiting = mail.delay(1)

    assert " is QUEUED, but task 'pausing.mail' is paused since 20" in waiting.why()
    assert " until 20" in waiting.why()


def test_who_waits_for_what_is_paused_is_told() -> None:
    queues.pause("mail", reason="provider is down", by="ann")
    waiting = mail.delay(1)

    said = str(_not_done_in_time(waiting, 1.0))

    assert "queue 'mail' is paused since " in said
    assert said.endswith(" by ann: provider is down")
