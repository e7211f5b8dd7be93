"""Calls that come one after the other are one task, with what the last of them said."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import driving
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F
from django.db.utils import OperationalError
from forced import row, status
from racing import beside, race, somebody_waits_for_a_lock, until

from cq import CycleError, Limit, UniqueBusy, chain, group, lifecycle, task
from cq.db.clock import database_now
from cq.definitions.lanes import lane_of
from cq.enqueue.recording import record_free
from cq.execution import sync_runner
from cq.limits.newcomers import admit
from cq.maintenance import prune, sweep
from cq.models import Debounce, Edge, Lane, Task
from cq.status import Status
from cq.testing import run_tasks

if TYPE_CHECKING:
    from bells import Bell

DB = "default"
SPAN = timedelta(seconds=60)

within: list[Any] = []


@task("debounce.index", unique="index:{pk}", debounce=SPAN)
def index(cqt: Any, pk: int = 1, value: int = 0) -> int:
    if within:
        return within.pop()(cqt)
    return value


@task("debounce.number")
def number(cqt: Any) -> int:
    return 1


@task("debounce.parent")
def parent(cqt: Any, value: int = 0) -> Any:
    return cqt.subtask(index, 1, value)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    within.clear()
    prune._come_to.clear()


def in_time(**span: float) -> int:
    """Do what a worker does at that moment from now; how many were brought forward."""
    return sweep.due(DB, database_now(DB) + timedelta(**span))


def seconds_to_wait(made: Task) -> float:
    run_after = row(made)["run_after"]
    return float((run_after - database_now(DB)).total_seconds())


def begun(value: int = 0) -> Task:
    """One that a worker has begun."""
    made = index.delay(1, value)
    in_time(seconds=61)
    return driving.claim(made)


# --- while it waits -------------------------------------------------------------------


@pytest.mark.django_db
def test_a_call_waits_until_its_span_is_over() -> None:
    made = index.delay(1, 5)

    assert (made.created, made.status) == (True, Status.PENDING)
    assert 58 < seconds_to_wait(made) <= 60
    assert row(made)["unique_key"] == row(made)["kept_key"] == "index:1"
    assert in_time(seconds=58) == 0
    assert in_time(seconds=61) == 1
    assert driving.run(made).result == 5


@pytest.mark.django_db
def test_a_further_call_replaces_its_arguments_and_its_time() -> None:
    first = index.delay(1, 5)
    Task.objects.update(run_after=F("run_after") - timedelta(seconds=50))

    again = index.delay(1, value=6)

    assert (again.created, again) == (False, first)
    assert (again.args, again.kwargs) == ((1,), {"value": 6})
    assert seconds_to_wait(first) > 58
    assert row(again)["submitted"] == row(first)["submitted"]
    in_time(seconds=61)
    assert driving.run(first).result == 6
    assert Task.objects.count() == 1


@pytest.mark.django_db
def test_another_key_is_another_task() -> None:
    assert index.delay(1) != index.delay(2)
    assert Debounce.objects.count() == 2


@pytest.mark.django_db
def test_it_runs_after_ten_spans_all_the_same() -> None:
    first = index.delay(1, 5)
    Task.objects.update(submitted=F("submitted") - timedelta(seconds=570))
    assert index.delay(1, 6) == first
    assert 28 < seconds_to_wait(first) <= 30

    Task.objects.update(
        submitted=F("submitted") - timedelta(seconds=31),
        run_after=F("run_after") - timedelta(seconds=31),
    )
    assert index.delay(1, 7) == first
    assert seconds_to_wait(first) < 0
    assert sweep.due(DB) == 1
    # What comes now is heeded, but puts it off no more.
    assert index.delay(1, 8) == first
    assert status(first) == Status.QUEUED
    assert driving.run(first).result == 8


@pytest.mark.django_db
def test_one_that_waits_for_a_worker_is_replaced_too() -> None:
    first = index.delay(1, 5)
    in_time(seconds=61)
    assert status(first) == Status.QUEUED

    assert index.delay(1, 6) == first

    assert (status(first), driving.fresh(first).ready_at) == (Status.PENDING, None)
    assert seconds_to_wait(first) > 58


@pytest.mark.django_db
def test_it_expires_as_the_last_call_says() -> None:
    first = index.using(expires=timedelta(seconds=90)).delay()
    index.using(expires=timedelta(hours=1)).delay()
    assert row(first)["expires"] > database_now(DB) + timedelta(minutes=50)
    index.delay()
    assert row(first)["expires"] is None


@pytest.mark.django_db
def test_who_acts_is_who_called_last(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.language"]
    settings.CQ_RELEASE = "r1"
    first = index.using(context={"language": "de"}, retries=3).delay()
    settings.CQ_RELEASE = "r2"
    index.using(context={"language": "fr"}, retries=5).delay()

    found = driving.fresh(first)
    assert (found.context, found.release) == ({"language": "fr"}, "r2")
    assert row(first)["options"]["retries"] == 3
    settings.CQ_CONTEXT, settings.CQ_RELEASE = [], None
    index.delay()
    found = driving.fresh(first)
    assert (found.context, found.release) == ({}, None)


@pytest.mark.django_db
def test_the_limits_and_the_turn_of_the_last_call_count() -> None:
    one, other = Limit(concurrency=1, key="a"), Limit(rate="1/s", key="b")
    first = index.using(limits=[one], fair="acme", retries=3).delay()
    lane = row(first)["lane"]
    assert lane is not None

    index.using(limits=[other], fair="free").delay()

    kept = row(first)["options"]
    assert (kept["limits"], kept["fair"]) == ([["b", {"rate": "1/s"}]], "free")
    assert row(first)["lane"] == lane_of(index.name, kept) != lane
    index.delay()
    kept = row(first)["options"]
    assert row(first)["lane"] is None
    assert not {"limits", "fair"} & kept.keys()
    assert kept["retries"] == 3


@pytest.mark.django_db
def test_one_that_is_replaced_in_the_queue_is_in_no_lane_that_has_a_row() -> None:
    first = index.using(fair="acme").delay()
    Task.objects.update(submitted=F("submitted") - timedelta(seconds=700))
    in_time(seconds=61)
    admit(DB)
    assert (status(first), row(first)["listed"]) == (Status.QUEUED, True)

    index.using(fair="free").delay()

    assert (status(first), row(first)["listed"]) == (Status.QUEUED, None)
    admit(DB)
    assert set(Lane.objects.values_list("fair", flat=True)) == {"acme", "free"}


@pytest.mark.django_db(transaction=True)
def test_one_that_is_replaced_in_the_queue_is_rung_for_behind_the_commit(
    bell: Bell,
) -> None:
    first = index.using(fair="acme").delay()
    Task.objects.update(submitted=F("submitted") - timedelta(seconds=700))
    in_time(seconds=61)
    bell.rung.clear()

    with transaction.atomic():
        index.using(fair="free").delay()
        assert bell.rung == []

    assert bell.rung == [first.pk]


@pytest.mark.django_db
def test_of_many_the_last_of_each_key_is_what_runs() -> None:
    made = index.delay_many([(1, 5), (2, 6), (1, 7)])

    assert [t.created for t in made] == [True, True, False]
    assert Task.objects.get(pk=made[0].pk).args == (1, 7)
    assert Task.objects.count() == 2


@pytest.mark.django_db
def test_from_a_coroutine_too() -> None:
    first = async_to_sync(index.adelay)(1, 5)
    made = async_to_sync(index.adelay_many)([(1, 6)])

    assert made[0] == first
    assert driving.fresh(first).args == (1, 6)


@pytest.mark.django_db
def test_a_call_for_itself_is_not_debounced() -> None:
    at_once = index.using(debounce=None).delay(1, 5)
    assert at_once.status == Status.QUEUED
    # It has the key, and waits for a worker: it is the one.
    assert index.delay(1, 6) == at_once
    assert driving.fresh(at_once).args == (1, 6)
    assert index.using(debounce=None).delay(1, 7) == at_once
    assert driving.fresh(at_once).args == (1, 6)
    assert index.using(unique=None).delay(1).status == Status.QUEUED


@pytest.mark.django_db
def test_a_revoked_one_is_followed_by_another() -> None:
    index.delay().revoke()

    assert index.delay().created


# --- beside one that runs -------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_one_that_runs_is_left_alone_and_a_new_one_waits_for_it() -> None:
    running = begun(5)

    following = index.delay(1, 6)
    again = index.delay(1, 7)

    assert (following.created, again.created) == (True, False)
    assert again == following != running
    assert Task.objects.count() == 2
    # Its span is over, and the other goes on.
    in_time(seconds=61)
    assert status(following) == Status.PENDING
    assert index.delay(1, 8) == following
    in_time(seconds=61)
    sync_runner.execute(running)
    assert driving.fresh(running).result == 5
    assert status(following) == Status.QUEUED
    assert driving.run(following).result == 8


@pytest.mark.django_db(transaction=True)
def test_when_the_other_has_ended_it_still_waits_for_its_span() -> None:
    running = begun()
    following = index.delay(1, 6)

    sync_runner.execute(running)

    assert status(following) == Status.PENDING
    assert in_time(seconds=58) == 0
    assert in_time(seconds=61) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["revoked", "failed", "retried"])
def test_however_the_other_ends(end: str) -> None:
    running = begun()
    following = index.delay(1, 6)

    if end == "revoked":
        running.revoke()
    else:
        within.append(lambda cqt: 1 // 0)
        if end == "retried":
            Task.objects.filter(pk=running.pk).update(options={"retries": 1})
            running.refresh_from_db()
        sync_runner.execute(running)
    in_time(seconds=61)

    waits = Status.PENDING if end == "retried" else Status.QUEUED
    assert status(following) == waits


@pytest.mark.django_db(transaction=True)
def test_three_in_a_row_wait_for_each_other() -> None:
    first = begun(1)
    second = index.delay(1, 2)
    in_time(seconds=61)
    sync_runner.execute(first)
    running = driving.claim(second)

    third = index.delay(1, 3)
    assert third.created
    assert index.delay(1, 4) == third
    in_time(seconds=61)
    assert status(third) == Status.PENDING

    sync_runner.execute(running)
    assert driving.run(third).result == 4
    assert Task.objects.count() == 3
    assert Debounce.objects.get().task_id == third.pk


@pytest.mark.django_db(transaction=True)
def test_a_run_may_ask_for_the_next_one() -> None:
    within.append(lambda cqt: str(index.delay(1, 6).pk))
    running = begun(5)
    sync_runner.execute(running)

    following = Task.objects.exclude(pk=running.pk).get()
    assert driving.fresh(running).result == str(following.pk)
    in_time(seconds=61)
    assert driving.run(following).result == 6


# --- in a workflow --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_subtask_replaces_and_takes_the_result() -> None:
    first = index.delay(1, 5)
    top = parent.delay(6)
    driving.run(top)

    assert driving.fresh(first).args == (1, 6)
    in_time(seconds=61)
    driving.run(first)
    driving.run_all()
    assert driving.fresh(top).result == 6


@pytest.mark.django_db(transaction=True)
def test_a_subtask_may_be_the_one_that_waits() -> None:
    top = parent.delay(5)
    driving.run(top)
    (child,) = Task.objects.filter(parent=top)

    assert index.delay(1, 6) == child
    in_time(seconds=61)
    assert driving.run(child).result == 6
    assert driving.fresh(top).result == 6


@pytest.mark.django_db(transaction=True)
def test_a_subtask_that_would_wait_for_its_parent_is_refused() -> None:
    seen: list[Any] = []

    def below(cqt: Any) -> str:
        with pytest.raises(CycleError) as caught:
            cqt.subtask(index, 1, 9)
        seen.append(caught.value)
        return "done"

    within.append(below)
    sync_runner.execute(begun())

    assert len(seen) == 1
    assert Task.objects.count() == 1


@pytest.mark.django_db
def test_a_group_of_them_is_one() -> None:
    group([index.s(1, 5), index.s(1, 6)]).delay()

    one = Task.objects.get(kept_key="index:1")
    assert one.args == (1, 6)
    assert Edge.objects.get().depends_on == one


@pytest.mark.django_db
def test_what_waits_for_others_cannot_be_replaced() -> None:
    with pytest.raises(
        TypeError, match=r"debounce.index has debounce, and this call wai"
    ):
        chain(number.s(), index.si(1)).delay()
    with pytest.raises(TypeError, match="give it debounce=None"):
        index.delay(1, number.delay())  # type: ignore[arg-type]

    assert Task.objects.count() == 1
    chain(number.s(), index.using(debounce=None).si(1)).delay()


@pytest.mark.django_db
def test_of_calls_recorded_together_those_that_replace_are_not_made() -> None:
    first = index.delay(1, 5)

    ids = record_free(DB, [index.s(1, 6), index.s(2, 7), index.s(2, 8), number.s()])

    assert [pk is None for pk in ids] == [True, False, True, False]
    assert driving.fresh(first).args == (1, 6)
    assert Task.objects.get(pk=ids[1]).args == (2, 8)


@pytest.mark.django_db
def test_one_that_is_remembered_is_not_made_again() -> None:
    both = index.using(unique_for=3600)
    first = both.delay(1, 5)
    in_time(seconds=61)
    driving.run(first)

    assert both.delay(1, 6) == first
    assert index.delay(1, 7).created


# --- without spans --------------------------------------------------------------------


@pytest.mark.django_db
def test_run_tasks_waits_for_no_span() -> None:
    index.delay(1, 5)
    made = index.delay(1, 6)
    later = number.using(run_after=timedelta(hours=1)).delay()

    assert run_tasks() == [made]
    assert (driving.fresh(made).result, status(later)) == (6, Status.PENDING)


@pytest.mark.django_db(transaction=True)
def test_a_serial_setting_runs_each_at_once(settings: Any) -> None:
    settings.CQ_SERIAL = True

    assert [index.delay(1, n).result for n in (5, 6)] == [5, 6]
    assert not Debounce.objects.exists()


@pytest.mark.django_db
def test_a_call_of_the_function_runs_it() -> None:
    assert [index(1, n) for n in (5, 6)] == [5, 6]


# --- several at once ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("runs", [False, True])
def test_ten_at_once_are_one_with_what_the_last_said(runs: bool) -> None:
    running = begun() if runs else None
    last: list[int] = []
    mutex = threading.Lock()

    def call(value: int) -> Task:
        with transaction.atomic():
            made = index.delay(1, value)
            # Who is here has the key until the commit.
            with mutex:
                last.append(value)
        return made

    made = [h.result(60) for h in [beside(_of(call, n)) for n in range(1, 11)]]

    assert len({t.pk for t in made}) == 1
    assert [t.created for t in made].count(True) == 1
    assert made[0] != running
    assert Task.objects.get(pk=made[0].pk).args == (1, last[-1])
    assert Task.objects.count() == 1 + runs


def _of(call: Any, value: int) -> Any:
    return lambda: call(value)


@pytest.mark.django_db(transaction=True)
def test_a_call_at_the_moment_that_it_begins_is_not_lost() -> None:
    keys = range(30)
    first = {key: index.delay(key, 5) for key in keys}
    in_time(seconds=61)

    def claim(key: int) -> Any:
        try:
            return driving.claim(first[key]).args
        except (ValueError, OperationalError):
            return None  # it was replaced before, or its row is locked

    asked, claimed = race(keys, lambda key: index.delay(key, 6), claim)

    for key, one, args in zip(keys, asked, claimed, strict=True):
        # Either it had begun as it was, or it waits as it was asked to.
        assert (args == (key, 5)) is (one != first[key])
        assert Task.objects.get(pk=one.pk).args == (key, 6)


@pytest.mark.django_db(transaction=True)
def test_a_call_at_the_moment_that_the_other_ends_waits_alone() -> None:
    keys = range(20)
    running = {}
    for key in keys:
        made = index.delay(key, 5)
        in_time(seconds=61)
        running[key] = driving.claim(made)

    asked, again, _ = race(
        keys,
        lambda key: index.delay(key, 6),
        lambda key: index.delay(key, 6),
        lambda key: sync_runner.execute(running[key]),
    )

    assert asked == again
    assert in_time(seconds=61) + sweep.sweep(DB) >= 0
    assert Task.objects.filter(status=Status.QUEUED).count() == len(keys)
    assert Task.objects.count() == 2 * len(keys)


@pytest.mark.django_db(transaction=True)
def test_who_is_in_the_way_of_another_does_all_of_it_again() -> None:
    # In opposite orders, so that each waits for the other.
    rounds = range(5)
    for number in rounds:
        index.delay_many([(("a", number), 0), (("b", number), 0)])

    race(
        rounds,
        lambda n: index.delay_many([(("a", n), 1), (("b", n), 1)]),
        lambda n: index.delay_many([(("b", n), 2), (("a", n), 2)]),
    )

    found = dict(Task.objects.values_list("kept_key", "args"))
    assert len(found) == Task.objects.count() == 2 * len(rounds)
    values = {t.args for t in Task.objects.all()}
    for number in rounds:
        # Both are of him who came last.
        assert len({v for (_, n), v in values if n == number}) == 1


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_key_of_a_transaction_that_does_not_end_is_busy(settings: Any) -> None:
    settings.CQ_UNIQUE_WAIT = 0.05
    holds, asked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            index.delay(1, 5)
            holds.set()
            assert asked.wait(30)

    before = number.delay()
    other = beside(hold)
    assert holds.wait(10)
    try:
        with transaction.atomic():
            with pytest.raises(UniqueBusy, match="'index:1' was held by another open"):
                index.delay(1, 6)
            # The caller's transaction stays usable.
            Task.objects.filter(pk=before.pk).update(priority=7)
    finally:
        asked.set()
    other.result(10)
    connection.close()

    assert row(before)["priority"] == 7
    assert Task.objects.get(unique_key="index:1").args == (1, 5)


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_a_transaction_that_ends_is_waited_for(commits: bool) -> None:
    first = index.delay(1, 5)
    holds, asked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            index.delay(1, 6)
            holds.set()
            assert asked.wait(30)
            transaction.set_rollback(not commits)

    other = beside(hold)
    assert holds.wait(10)
    try:
        # Meanwhile it comes to its time, and nobody waits for who has it.
        assert in_time(seconds=61) == 0
        assert sweep.queue_forgotten(DB, database_now(DB) + 2 * SPAN) == 0
        mine = beside(lambda: index.delay(1, 7))
        until(somebody_waits_for_a_lock, "the key is waited for")
    finally:
        asked.set()
    other.result(10)

    assert mine.result(10) == first
    assert driving.fresh(first).args == (1, 7)
    assert in_time(seconds=61) == 1


@pytest.mark.django_db(transaction=True)
def test_a_call_that_is_rolled_back_has_replaced_nothing() -> None:
    first = index.delay(1, 5)
    with transaction.atomic():
        index.delay(1, 6)
        index.delay(2, 6)
        transaction.set_rollback(True)

    assert driving.fresh(first).args == (1, 5)
    assert Task.objects.count() == Debounce.objects.count() == 1


# --- its rows -------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_row_of_a_key_goes_with_its_last_task() -> None:
    first = index.using(result_ttl=0).delay()
    in_time(seconds=61)
    driving.run(first)
    assert Debounce.objects.exists()
    Task.objects.update(finished=F("finished") - SPAN)

    assert prune.prune(DB) == 1

    assert not Debounce.objects.exists()
    assert index.delay().created


@pytest.mark.django_db
def test_a_retried_one_is_one_that_has_begun() -> None:
    first = index.delay(1, 5)
    in_time(seconds=61)
    driving.run(first)
    first.refresh_from_db()
    first.retry()

    following = index.delay(1, 6)

    assert following.created
    assert driving.fresh(first).args == (1, 5)


@pytest.mark.django_db
def test_only_what_waits_is_replaced() -> None:
    made = begun(5)

    assert not lifecycle.replace(DB, made.pk, {"priority": 7}, database_now(DB))
    assert row(made)["priority"] == 0


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("span", [0, -1, timedelta(), "5s", True, float("inf")])
def test_what_is_no_span_is_refused(span: Any) -> None:
    with pytest.raises(
        ValueError, match=r"debounce is .*, but must be a positive numb"
    ):
        task("debounce.refused", unique="x", debounce=span)
    with pytest.raises(ValueError, match="debounce is"):
        index.using(debounce=span)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(
        ValueError, match="debounce is 5, but there is no unique; give i"
    ):
        task("debounce.refused", debounce=5)
    with pytest.raises(ValueError, match="there is no unique"):
        number.using(debounce=5)
    for given in ({"delay": 5}, {"run_after": timedelta(hours=1)}):
        with pytest.raises(ValueError, match="debounce says when a call starts"):
            index.using(**given)  # type: ignore[typeddict-item]
    assert index.using(debounce=None, delay=5).s(1)
