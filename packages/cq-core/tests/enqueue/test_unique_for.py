"""A key is remembered for a while once its task has settled: not again so soon."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import driving
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from forced import forced, row, status
from racing import beside, race, somebody_waits_for_a_lock, until

from cq import lifecycle, task
from cq.enqueue.recording import record_free
from cq.execution import sync_runner
from cq.maintenance import prune
from cq.models import Task
from cq.status import FINAL, Status

DB = "default"
HOUR = timedelta(hours=1)

broken: set[str] = set()


@task("unique_for.report", unique="report:{day}", unique_for=HOUR)
def report(cqt: Any, day: Any = "monday", value: int = 0) -> int:
    if "report" in broken:
        raise ValueError("no")
    return value


@task("unique_for.ping", unique="ping", unique_for=60, unique_for_failed=True)
def ping(cqt: Any) -> None:
    raise ValueError("no answer")


@task("unique_for.once", unique="once")
def once(cqt: Any) -> str:
    return "once"


@task("unique_for.parent")
def parent(cqt: Any, value: int = 1) -> Any:
    return cqt.subtask(report, "monday", value)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    broken.clear()
    prune._come_to.clear()


def settled_ago(made: Task, **span: float) -> None:
    ago = timedelta(**span)
    Task.objects.filter(pk=made.pk).update(finished=F("finished") - ago)


def done(function: Any = report, *args: Any, **options: Any) -> Task:
    """One that has run to its end."""
    made: Task = function.using(**options).delay(*args)
    driving.run_all()
    return driving.fresh(made)


# --- within the span ------------------------------------------------------------------


@pytest.mark.django_db
def test_a_call_within_the_span_returns_the_settled_task() -> None:
    first = done(report, "monday", 5)

    again = report.delay("monday", 6)

    assert (again.created, again) == (False, first)
    assert (again.status, again.result, again.args) == (
        Status.COMPLETE,
        5,
        ("monday", 5),
    )
    assert report.delay("tuesday").created
    assert Task.objects.count() == 2


@pytest.mark.django_db
def test_behind_the_span_another_is_made() -> None:
    first = done()
    settled_ago(first, seconds=3599)
    assert not report.delay().created

    settled_ago(first, seconds=2)
    second = report.delay()

    assert second.created
    assert report.delay() == second  # which is live


@pytest.mark.django_db
def test_of_several_the_last_to_settle_is_returned() -> None:
    first = done()
    settled_ago(first, hours=2)
    second = done()

    assert report.delay() == second


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["failed", "revoked"])
def test_what_did_not_succeed_is_not_remembered(end: str) -> None:
    broken.update({"report"} if end == "failed" else ())
    made = report.delay()
    if end == "revoked":
        made.revoke()
    driving.run_all()

    assert report.delay().created


@pytest.mark.django_db
@pytest.mark.parametrize("end", sorted(FINAL))
def test_whatever_the_outcome_where_that_is_asked_for(end: Status) -> None:
    made = forced(end, kept_key="ping", finished=timezone.now())

    assert ping.delay() == made
    only_success = ping.using(unique_for_failed=False).delay()
    assert only_success.created is (end != Status.COMPLETE)


@pytest.mark.django_db
def test_one_that_failed_is_remembered_where_that_is_asked_for() -> None:
    first = done(ping)

    assert first.status == Status.FAILURE
    assert ping.delay() == first
    assert ping.using(unique_for_failed=False).delay().created


@pytest.mark.django_db
def test_the_call_that_asks_decides() -> None:
    first = done(once)

    # The first one did not say that it is to be remembered.
    assert once.using(unique_for=60).delay() == first
    assert once.delay().created


@pytest.mark.django_db
@pytest.mark.parametrize("nothing", [None, 0, timedelta()])
def test_a_call_that_does_not_ask_makes_another(nothing: Any) -> None:
    done()

    assert report.using(unique_for=nothing).delay().created


@pytest.mark.django_db
def test_a_call_without_a_key_is_one_of_its_own() -> None:
    done()

    assert report.using(unique=None).delay().created


@pytest.mark.django_db
def test_keys_are_told_apart_exactly() -> None:
    done(report, "key")

    assert [report.delay(day).created for day in ("Key", "kéy", "key ", "key")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.django_db
def test_of_many_each_is_looked_for() -> None:
    first = done(report, 1)

    made = report.delay_many([(1,), (2,), (1,), (2,)])

    assert [t.created for t in made] == [False, True, False, False]
    assert (made[0], made[2], made[3]) == (first, first, made[1])


@pytest.mark.django_db
def test_retry_does_not_look() -> None:
    broken.add("report")
    failed = done()
    broken.clear()
    second = done()
    assert second.created

    failed.retry()

    assert status(failed) == Status.QUEUED
    assert row(failed)["unique_key"] == "report:monday"


@pytest.mark.django_db
def test_from_a_coroutine_too() -> None:
    first = done()

    assert async_to_sync(report.adelay)() == first
    made = async_to_sync(report.adelay_many)([("monday",), ("x",)])
    assert [t.created for t in made] == [False, True]


@pytest.mark.django_db(transaction=True)
def test_where_rows_are_made_a_serial_setting_honours_it(settings: Any) -> None:
    settings.CQ_SERIAL = True
    first = report.delay("monday", 3)

    again = report.delay("monday", 4)

    assert (again.created, again, again.result) == (False, first, 3)


# --- under a parent -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_subtask_whose_key_is_remembered_takes_that_result() -> None:
    first = done(report, "monday", 5)

    top = parent.delay(6)
    driving.run_all()

    assert driving.fresh(top).result == 5
    (child,) = Task.objects.filter(parent=top)
    assert (child.status, child.result) == (Status.COMPLETE, 5)
    assert row(child)["kept_key"] is None
    assert row(first)["attempts"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_subtask_is_remembered_too() -> None:
    top = parent.delay(6)
    driving.run_all()

    again = report.delay()

    assert (again.created, again.parent_id, again.result) == (False, top.pk, 6)


# --- its row --------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("ttl", [0, None])
def test_the_row_is_kept_as_long_as_its_key(settings: Any, ttl: Any) -> None:
    settings.CQ_RESULT_TTL = 0
    first = done(report, "monday", 5, result_ttl=ttl)
    settled_ago(first, minutes=59)

    prune.prune(DB)
    assert report.delay() == first

    settled_ago(first, minutes=2)
    prune.prune(DB)
    assert not Task.objects.filter(pk=first.pk).exists()


@pytest.mark.django_db
def test_one_that_failed_goes_as_its_time_to_live_says() -> None:
    broken.add("report")
    forgotten = done(report, result_ttl=0)
    kept = done(ping, result_ttl=0)
    for one in (forgotten, kept):
        settled_ago(one, seconds=1)

    assert prune.prune(DB) == 1

    assert list(Task.objects.values_list("pk", flat=True)) == [kept.pk]


@pytest.mark.django_db(transaction=True)
def test_a_tree_is_kept_as_long_as_a_key_in_it() -> None:
    top = done(parent, 6, result_ttl=0)
    for one in Task.objects.all():
        settled_ago(one, minutes=59)
    assert prune.prune(DB) == 0
    assert not report.delay().created

    for one in Task.objects.all():
        settled_ago(one, minutes=2)
    assert prune.prune(DB) == 2
    assert not Task.objects.filter(root=top.pk).exists()


# --- several at once ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_make_one() -> None:
    made = [h.result(30) for h in [beside(report.delay) for _ in range(10)]]

    assert len({t.pk for t in made}) == 1
    assert [t.created for t in made].count(True) == 1


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_find_the_settled_one() -> None:
    first = done()

    made = [h.result(30) for h in [beside(report.delay) for _ in range(10)]]

    assert {t.pk for t in made} == {first.pk}
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_whoever_settles_meanwhile_is_found() -> None:
    days = range(40)
    live = {day: report.delay(day) for day in days}
    claimed = {day: driving.claim(live[day]) for day in days}

    asked, _ = race(days, report.delay, lambda day: sync_runner.execute(claimed[day]))

    assert {day: t.pk for day, t in zip(days, asked, strict=True)} == {
        day: t.pk for day, t in live.items()
    }
    assert Task.objects.count() == len(days)


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_one_that_settles_as_its_key_is_waited_for_is_found(commits: bool) -> None:
    first = report.delay()
    running = driving.claim(first)
    assert running.worker_id is not None
    claim = lifecycle.Claim(running.pk, running.fence, running.worker_id)
    holds, asked = threading.Event(), threading.Event()

    def settle() -> None:
        with transaction.atomic():
            assert lifecycle.complete(DB, claim, "7")
            holds.set()
            assert asked.wait(30)
            if not commits:
                transaction.set_rollback(True)

    other = beside(settle)
    assert holds.wait(10)
    mine = beside(report.delay)
    if connection.vendor == "postgresql":  # MySQL reads what is committed: a live one
        until(somebody_waits_for_a_lock, "the key is waited for")
    asked.set()
    other.result(10)

    assert mine.result(10) == first
    assert not mine.result(10).created
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_call_that_found_one_leaves_nothing_behind() -> None:
    first = done()
    with transaction.atomic():
        assert report.delay() == first
        assert once.delay().created

    assert set(Task.objects.values_list("kept_key", flat=True)) == {
        "report:monday",
        "once",
    }


@pytest.mark.django_db
def test_of_calls_recorded_together_those_that_are_due_again_are() -> None:
    first = done(report, 1)
    failed = done(ping)

    ids = record_free(
        DB, [report.s(1), report.s(2), ping.s(), once.s(), once.using(unique=None).s()]
    )

    assert [pk is None for pk in ids] == [True, False, True, False, False]
    assert Task.objects.count() == 5
    assert not {first.pk, failed.pk} & set(ids)


@pytest.mark.django_db(transaction=True)
def test_who_does_not_ask_pays_for_no_look() -> None:
    done(once)
    with CaptureQueriesContext(connection) as queries:
        assert once.delay().created

    looks = [q["sql"] for q in queries if not q["sql"].startswith("INSERT INTO cq_t")]
    assert not [sql for sql in looks if "kept_key" in sql or "cq_debounces" in sql]


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("span", [-1, timedelta(-1), "1h", True, float("nan"), 4e9])
def test_what_is_no_span_is_refused(span: Any) -> None:
    with pytest.raises(
        ValueError, match=r"unique_for is .*, but must be a number of sec"
    ):
        task("unique_for.refused", unique="x", unique_for=span)
    with pytest.raises(ValueError, match="unique_for is"):
        once.using(unique_for=span)


def test_without_a_key_there_is_nothing_to_remember() -> None:
    with pytest.raises(ValueError, match=r"unique_for is 60, but there is no unique;"):
        task("unique_for.refused", unique_for=60)
    with pytest.raises(ValueError, match="there is no unique; give it unique="):
        parent.using(unique_for=60)
    with pytest.raises(
        ValueError, match="unique_for_failed is True, but there is no uni"
    ):
        once.using(unique_for_failed=True)
    with pytest.raises(
        ValueError, match="unique_for_failed is 1, but must be True or F"
    ):
        report.using(unique_for_failed=1)  # type: ignore[arg-type]
