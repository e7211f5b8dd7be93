"""``manage.py cq audit``: silent over what healthy workflows leave, loud over the rest."""

from __future__ import annotations

import copy
import io
import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import forced
import pytest
import sample_tasks
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from driving import claim, run, run_all
from forced import register

from cq import Limit, chain, group, lifecycle, task
from cq.conf import conf
from cq.db.clock import database_now
from cq.db.statements import uuid_param
from cq.execution import sync_runner
from cq.lifecycle import Claim
from cq.limits.claims.claiming import LaneClaims
from cq.limits.newcomers import admit
from cq.maintenance import audit as auditor
from cq.maintenance import invariants, sweep
from cq.maintenance.audit import audit
from cq.maintenance.check import Check
from cq.maintenance.invariants import CHECKS, LATE_AFTER, grace
from cq.maintenance.rescue import rescue
from cq.models import Attempt, Edge, Lane, Place, Task, TaskLog, Worker
from cq.status import OPEN, Status
from cq.tables.limits.queries import lanes, places
from cq.tables.queries import attempts, edges, logs, tasks
from cq.workflow import revocation

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


#: Without those that another app may have registered.
OWN = (tasks, edges, logs, attempts, lanes, places)
CORE = [check for check in CHECKS if check.rows in OWN]


@pytest.fixture(autouse=True)
def _only_record(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.setattr(auditor, "CHECKS", CORE)


def no_pause(seconds: float) -> None:
    assert 0 <= seconds <= 10


def found(**kwargs: Any) -> list[tuple[str, str, list[UUID]]]:
    findings = audit("default", pause=no_pause, **kwargs).findings
    return [(f.invariant, f.what, f.tasks) for f in findings]


def sql(statement: str, *params: Any) -> None:
    """Change rows past all that guards them."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [_param(value) for value in params])
        assert cursor.rowcount == 1


def _param(value: Any) -> Any:
    if isinstance(value, Task):
        value = value.pk
    return uuid_param(connection, value) if isinstance(value, UUID) else value


def force(row: Task, assignments: str, *params: Any) -> None:
    sql(f"UPDATE cq_tasks SET {assignments} WHERE id = %s", *params, row)


# --- what healthy workflows leave -----------------------------------------------------


@task(retries=1, backoff=0, atomic=False)
def fails_once_after_a_subtask(cqt: Any) -> str:
    cqt.subtask(sample_tasks.square, 2)
    if cqt.attempts == 1:
        raise ValueError("once")
    return "done"


@task
def adopts_a_chain(cqt: Any) -> Any:
    cqt.log("before")
    return sample_tasks.calc_a.delay(3).chain(sample_tasks.add_a_to_4, (4,))


@task
def has_a_subtask_that_fails(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 1)
    cqt.subtask(sample_tasks.fails, "below")


@task
def has_the_same_twice(cqt: Any) -> None:
    for _ in range(2):
        cqt.subtask(sample_tasks.square.using(unique="the same"), 1)


@task(on_lost="fail")
def runs_once_at_most(cqt: Any) -> None: ...


def delay_everything() -> list[Task]:
    sample_tasks.square.delay(1).errorback(sample_tasks.square, 2)
    failed = sample_tasks.fails.delay()
    failed.errorback(sample_tasks.square, 2)
    failed.chain(sample_tasks.square, 3)
    waits = sample_tasks.square.using(run_after=timedelta(days=1)).delay(1)
    waits.chain(sample_tasks.square)
    return [
        sample_tasks.send_emails.delay(["a@b.org", "c@d.org"]),
        sample_tasks.calculate_something.delay(),
        sample_tasks.merge_squares.delay(5),
        sample_tasks.logs_lines.delay(20),
        group([sample_tasks.square.s(n) for n in range(3)]).delay(),
        group([]).delay(),
        chain(sample_tasks.square.s(2), sample_tasks.square.s()).delay(),
        chain(sample_tasks.fails.s(), sample_tasks.square.s(1)).delay(),
        fails_once_after_a_subtask.delay(),
        adopts_a_chain.delay(),
        has_a_subtask_that_fails.delay(),
        has_the_same_twice.delay(),
    ]


def test_what_the_local_runner_leaves_breaks_nothing(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    with transaction.atomic():
        made = delay_everything()
    call_command("cq", "run", stdout=io.StringIO())

    statuses = {
        t.name: t.status for t in Task.objects.filter(pk__in=[m.pk for m in made])
    }
    assert not OPEN.intersection(statuses.values())
    assert found() == []


def test_at_no_step_of_a_workflow_is_anything_broken() -> None:
    delay_everything()

    for _ in range(200):
        assert found() == []
        queued = Task.objects.filter(status=Status.QUEUED).order_by("pk").first()
        if queued is None and not sweep.due("default"):
            break
        if queued is not None:
            running = claim(queued)
            register_the_driver()
            assert found() == []
            sync_runner.execute(running)
    assert Task.objects.filter(status__in=OPEN).count() == 2


def register_the_driver() -> None:
    """It has beaten just now, however long the steps before took."""
    Worker.objects.update_or_create(
        id=77,
        defaults={
            "kind": "test",
            "host": "here",
            "pid": 1,
            "started": database_now("default"),
            "last_seen": database_now("default"),
        },
    )


def test_what_was_done_by_hand_breaks_nothing(settings: Any) -> None:
    retried = sample_tasks.fails.delay()
    follower = retried.chain(sample_tasks.square, 1)
    run_all()
    assert found() == []
    retried.retry()
    assert found() == []
    follower.refresh_from_db()
    assert follower.status == Status.PENDING
    run_all()

    revoked = sample_tasks.send_emails.delay(["a@b.org"])
    run(revoked)
    assert revoked.revoke()
    running = claim(sample_tasks.square.delay(3))
    register_the_driver()
    Task.objects.get(pk=running.pk).revoke()
    sync_runner.execute(running)
    revoked.retry()
    run_all()
    # Under a parent that has settled, and not reopened for it.
    below = Task.objects.filter(parent=revoked).earliest("pk")
    below.retry()
    assert below.status == Status.QUEUED

    assert found() == []


def test_what_dead_workers_left_breaks_nothing(settings: Any) -> None:
    settings.CQ_MAX_LOSSES = 2
    poison, once = sample_tasks.square.delay(1), runs_once_at_most.delay()
    handed_back = claim(sample_tasks.square.delay(2))
    lifecycle.hand_back("default", [Claim(handed_back.pk, handed_back.fence, 77)])
    claim(once)
    rescue("default", 77, "it died")
    for _ in range(2):
        claim(poison)
        rescue("default", 77, "it died")
        assert found() == []
    run_all()

    for row in (poison, once):
        row.refresh_from_db()
        assert row.status == Status.LOST


def test_what_expired_breaks_nothing() -> None:
    past = database_now("default") - timedelta(hours=1)
    late = sample_tasks.square.using(expires=past).delay(1)
    late.chain(sample_tasks.square)

    sweep.due("default")

    assert found() == []


# --- broken rows ----------------------------------------------------------------------

BROKEN: dict[str, tuple[str, Callable[[], Task]]] = {}


def breaks(invariant: str) -> Callable[[Callable[[], Task]], Callable[[], Task]]:
    def add(make: Callable[[], Task]) -> Callable[[], Task]:
        BROKEN[make.__name__] = (invariant, make)
        return make

    return add


def done() -> Task:
    row = run(sample_tasks.square.delay(2))
    assert row.status == Status.COMPLETE
    return row


def failed() -> Task:
    return run(sample_tasks.fails.delay())


def waiting() -> Task:
    return run(sample_tasks.send_emails.delay(["a@b.org"]))


def only_child(parent: Task) -> Task:
    return Task.objects.get(parent=parent)


@breaks("I1")
def a_suspended_task_that_nothing_wakes() -> Task:
    return forced.forced(Status.SUSPENDED, fence=1, attempts=1)


@breaks("I1")
def a_due_task_that_stays_pending() -> Task:
    row = sample_tasks.square.using(run_after=timedelta(hours=1)).delay(1)
    force(row, "run_after = %s", moment(-2 * LATE_AFTER))
    return row


@breaks("I1")
def a_retry_that_does_not_come() -> Task:
    row = failed()
    force(
        row,
        "status = 'RETRY', finished = NULL, run_after = %s",
        moment(-2 * LATE_AFTER),
    )
    return row


@breaks("I1")
def a_pending_task_that_waits_for_nothing() -> Task:
    row = sample_tasks.square.delay(1)
    force(row, "status = 'PENDING'")
    return row


@breaks("I1")
def an_edge_to_a_task_that_has_settled_unheard() -> Task:
    first = sample_tasks.square.delay(1)
    row = first.chain(sample_tasks.square)
    force(
        first,
        "status = 'COMPLETE', result = '1', finished = submitted",
    )
    return row


@breaks("I1")
def an_edge_to_a_task_that_is_gone() -> Task:
    first = sample_tasks.square.delay(1)
    row = first.chain(sample_tasks.square)
    sql("DELETE FROM cq_tasks WHERE id = %s", first)
    return row


@breaks("I1")
def a_task_that_expired_and_stays_queued() -> Task:
    row = sample_tasks.square.using(expires=timedelta(hours=1)).delay(1)
    force(row, "expires = %s", moment(-2 * LATE_AFTER))
    return row


@breaks("I1")
def a_running_task_of_a_worker_without_a_row() -> Task:
    return claim(sample_tasks.square.delay(1))


@breaks("I2")
def a_subtask_whose_parent_was_rolled_back() -> Task:
    parent = waiting()
    row = only_child(parent)
    sql("DELETE FROM cq_tasks WHERE id = %s", parent)
    return row


@breaks("I2")
def an_edge_of_a_task_that_was_rolled_back() -> Task:
    first = sample_tasks.square.delay(1)
    row = first.chain(sample_tasks.square)
    sql("DELETE FROM cq_tasks WHERE id = %s", row)
    return row


@breaks("I2")
def a_log_of_a_task_that_was_rolled_back() -> Task:
    row = run(sample_tasks.logs_lines.delay(3))
    sql("DELETE FROM cq_tasks WHERE id = %s", row)
    return row


@breaks("I3")
def a_completion_without_its_result() -> Task:
    row = done()
    force(row, "result = NULL")
    return row


@breaks("I3")
def a_failure_with_a_result() -> Task:
    row = failed()
    force(row, "result = '1'")
    return row


@breaks("I4")
def a_fence_that_was_lowered() -> Task:
    row = done()
    force(row, "fence = 0")
    return row


@breaks("I4")
def a_revocation_that_left_the_fence() -> Task:
    row = sample_tasks.square.delay(1)
    row.revoke()
    force(row, "fence = 0")
    return row


@breaks("I4")
def a_log_line_of_an_attempt_that_never_was() -> Task:
    row = run(sample_tasks.logs_lines.delay(1))
    sql("UPDATE cq_logs SET attempt = 2 WHERE task_id = %s", row)
    return row


@breaks("I5")
def a_second_run_that_nothing_explains() -> Task:
    row = done()
    force(row, "attempts = 2, fence = 2")
    return row


@breaks("I2")
def a_history_without_its_task() -> Task:
    row = failed()
    sql("DELETE FROM cq_tasks WHERE id = %s", row)
    return row


@breaks("I6")
def a_history_that_was_not_cut() -> Task:
    row = failed()
    old = Attempt(task=row, number=1, outcome="failed", ended=row.finished)
    Attempt.objects.bulk_create([copy.copy(old) for _ in range(50)])
    return row


@breaks("I6")
def more_failures_than_attempts() -> Task:
    row = failed()
    force(row, "failures = 2")
    return row


@breaks("I6")
def a_claim_that_was_not_counted() -> Task:
    row = claim(sample_tasks.square.delay(1))
    register_the_driver()
    force(row, "attempts = 0")
    return row


@breaks("I6")
def a_queued_task_that_killed_too_many() -> Task:
    row = sample_tasks.square.delay(1)
    force(row, "losses = 3, attempts = 3, fence = 6")
    return row


@breaks("I7")
def a_parent_whose_last_subtask_told_nobody() -> Task:
    row = waiting()
    force(only_child(row), "status = 'COMPLETE', result = '1', finished = submitted")
    return row


@breaks("I7")
def a_parent_whose_last_subtask_was_deleted() -> Task:
    row = waiting()
    sql("DELETE FROM cq_tasks WHERE parent_id = %s", row)
    return row


@breaks("I8")
def a_subtask_whose_parent_has_settled() -> Task:
    parent = waiting()
    force(parent, "status = 'COMPLETE', finished = submitted")
    return only_child(parent)


@breaks("I9")
def a_task_that_began_before_its_predecessor_settled() -> Task:
    row = sample_tasks.square.delay(1).chain(sample_tasks.square)
    force(row, "status = 'QUEUED'")
    return row


@breaks("I9")
def a_run_of_what_was_not_ready_yet() -> Task:
    row = claim(sample_tasks.square.delay(1))
    register_the_driver()
    force(row, "ready = %s", moment(2 * LATE_AFTER))
    return row


@breaks("I9")
def a_failure_that_no_run_ended_in() -> Task:
    row = failed()
    force(row, "failures = 0, fence = 2")
    return row


@breaks("I9")
def a_log_that_was_counted_anew() -> Task:
    row = run(sample_tasks.logs_lines.delay(2))
    force(row, "log_lines = 1")
    return row


@breaks("I11")
def a_loss_that_nobody_recorded() -> Task:
    row = claim(runs_once_at_most.delay())
    rescue("default", 77, "it died")
    force(row, "losses = 0")
    return row


@breaks("I11")
def a_loss_without_a_reason() -> Task:
    row = claim(runs_once_at_most.delay())
    rescue("default", 77, "it died")
    force(row, "error = NULL")
    return row


@breaks("I11")
def a_loss_with_an_invented_exception() -> Task:
    row = claim(runs_once_at_most.delay())
    rescue("default", 77, "it died")
    force(row, "exception = 'WorkerLost'")
    return row


@breaks("I11")
def a_success_with_an_error() -> Task:
    row = done()
    force(row, "error = 'no'")
    return row


@task
def one_at_once(cqt: Any) -> None: ...


_workers = itertools.count(1000)


def limited() -> Task:
    """One of a limit that is claimed, and one that it holds back."""
    worker = next(_workers)
    register(worker)
    key = f"of {worker}"
    of_limit = one_at_once.using(limits=[Limit(concurrency=1, key=key)], queue=key)
    row = of_limit.delay()
    of_limit.delay()
    admit("default")
    claims = LaneClaims("default", worker)
    for _ in range(2):
        claims.claim((key, 0), 1)
    assert Lane.objects.get(queue=key).held_by == key
    assert Place.objects.get(key=key).task == row.pk
    row.refresh_from_db()
    return row


def run_out(row: Task) -> None:
    """It has ended, and its place is as it was."""
    assert row.worker_id is not None
    held = Claim(row.pk, row.fence, row.worker_id)
    assert lifecycle.complete("default", held, "null") == Status.COMPLETE


def test_limits_that_hold_tasks_back_break_nothing() -> None:
    row = limited()
    assert not found()
    # It may run on until its thread has ended.
    assert row.revoke()
    assert not found()


@breaks("I1")
def a_lane_that_is_held_for_nothing() -> Task:
    row = limited()
    Place.objects.filter(task=row.pk).delete()
    run_out(row)
    return Task.objects.get(pk=Lane.objects.get(queue=row.queue).head)


@breaks("I1")
def a_listed_task_whose_lane_has_no_row() -> Task:
    row = limited()
    Lane.objects.filter(queue=row.queue).delete()
    return Task.objects.get(queue=row.queue, status=Status.QUEUED)


@breaks("I12")
def a_place_of_a_worker_without_a_row() -> Task:
    row = limited()
    run_out(row)
    Worker.objects.filter(pk=row.worker_id).delete()
    return row


@breaks("I12")
def a_place_whose_run_has_ended() -> Task:
    row = limited()
    run_out(row)
    return row


@breaks("I12")
def a_place_of_an_earlier_claim() -> Task:
    row = limited()
    Place.objects.filter(task=row.pk).update(fence=row.fence + 1)
    return row


def moment(later: timedelta) -> Any:
    return connection.ops.adapt_datetimefield_value(database_now("default") + later)


@pytest.mark.parametrize("name", BROKEN)
def test_the_auditor_names_the_row_that_breaks_an_invariant(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invariant, make = BROKEN[name]
    healthy = done()
    row = make()

    [(named, what, ids)] = found()
    monkeypatch.setattr(auditor, "grace", lambda: 0.0)
    out = io.StringIO()
    with pytest.raises(CommandError, match=rf"^broken invariants: {invariant}$") as got:
        call_command("cq", "audit", stdout=out)

    assert (named, ids) == (invariant, [row.pk])
    assert got.value.returncode == 1
    assert f"{row.pk}  {what}" in out.getvalue()
    assert str(healthy.pk) not in out.getvalue()


def test_every_check_is_tried_by_a_broken_row() -> None:
    tried = set()
    for _, make in BROKEN.values():
        make()
        tried |= {what for _, what, _ in found()}
        for model in (Task, Edge, TaskLog, Attempt, Worker):
            model._base_manager.all().delete()

    # Of silence there is a test below.
    assert {c.what for c in CORE} - tried == {"RUNNING, but its worker is silent"}


def test_a_worker_that_is_silent_is_dead_where_heartbeats_decide() -> None:
    row = forced.forced(Status.RUNNING)
    now = database_now("default")
    lease = timedelta(seconds=conf.LEASE)
    register(seen=now - lease - timedelta(seconds=11))

    if connection.vendor == "sqlite":
        # There it may only be kept from writing.
        assert found() == []
    else:
        assert found() == [("I1", "RUNNING, but its worker is silent", [row.pk])]
    Worker.objects.update(last_seen=now - lease)
    assert found() == []


# --- what is so for a moment ----------------------------------------------------------

PASSING = [
    a_due_task_that_stays_pending,
    a_pending_task_that_waits_for_nothing,
    a_retry_that_does_not_come,
    an_edge_to_a_task_that_has_settled_unheard,
    an_edge_to_a_task_that_is_gone,
    a_task_that_expired_and_stays_queued,
    a_running_task_of_a_worker_without_a_row,
    a_parent_whose_last_subtask_told_nobody,
    a_parent_whose_last_subtask_was_deleted,
]


@pytest.mark.parametrize("make", PASSING, ids=lambda make: make.__name__)
def test_what_the_next_sweep_mends_is_not_reported(make: Callable[[], Task]) -> None:
    make()
    pauses = []

    def sweeps(seconds: float) -> None:
        pauses.append(seconds)
        sweep.sweep("default")

    assert audit("default", pause=sweeps).findings == []
    assert len(pauses) == 1
    assert 9 < pauses[0] <= 10


def test_a_revocation_that_is_under_way_is_not_reported() -> None:
    parent = waiting()
    lifecycle.revoke("default", [parent.pk], "no")

    def goes_on(seconds: float) -> None:
        revocation.abandon_children("default", parent.pk, "no")

    assert audit("default", pause=goes_on).findings == []


def test_one_that_is_mended_does_not_hide_one_that_is_not() -> None:
    broken = a_subtask_whose_parent_has_settled()
    a_parent_whose_last_subtask_told_nobody()

    def sweeps(seconds: float) -> None:
        sweep.sweep("default", thorough=False)

    report = audit("default", pause=sweeps)

    assert [(f.invariant, f.tasks) for f in report.findings] == [("I8", [broken.pk])]


def test_a_healthy_table_needs_no_second_look() -> None:
    done()

    def fails(seconds: float) -> None:
        raise AssertionError

    assert audit("default", pause=fails).whole


def test_what_is_late_by_less_than_a_minute_is_on_its_way() -> None:
    row = sample_tasks.square.using(run_after=timedelta(hours=1)).delay(1)
    force(row, "run_after = %s, expires = %s", *[moment(-LATE_AFTER / 2)] * 2)

    assert found() == []


def test_the_grace_is_two_sweeps(settings: Any) -> None:
    settings.CQ_SWEEP = 30.0

    assert grace() == 60


def test_a_tree_that_is_being_pruned_is_not_reported() -> None:
    root = run(sample_tasks.send_emails.using(result_ttl=0).delay(["a@b.org"]))
    child = only_child(root)
    child.log("a line")
    run(child)
    tasks("default").filter(pk=child.pk)._raw_delete("default")

    assert found() == []


# --- bounds ---------------------------------------------------------------------------


def test_all_pages_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "ROWS_PER_PAGE", 2)
    rows = forced.forced_many(7, Status.COMPLETE, result="1", fence=1, attempts=1)
    assert audit("default").looked_at == {
        "cq_attempts": 0,
        "cq_tasks": 7,
        "cq_edges": 0,
        "cq_logs": 0,
    }

    for row in (rows[0], rows[3], rows[6]):
        force(row, "result = NULL")
        assert row.pk in found()[0][2]


def test_only_so_many_are_named_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "ROWS_PER_PAGE", 4)
    monkeypatch.setattr(auditor, "MAX_ROWS", 6)
    forced.forced_many(10, Status.COMPLETE, fence=1, attempts=1)
    forced.forced_many(10, Status.WAITING)

    report = audit("default", limit=3, pause=no_pause)

    assert [(f.invariant, len(f.tasks), f.total) for f in report.findings] == [
        ("I3", 3, 6),
        ("I7", 3, 6),
    ]


def test_when_the_time_is_over_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "ROWS_PER_PAGE", 2)
    forced.forced_many(5, Status.COMPLETE, fence=1, attempts=1)
    stuck = forced.forced(Status.WAITING)

    report = audit("default", seconds=0, pause=no_pause)

    assert not report.whole
    assert set(report.looked_at.values()) == {0}
    # What is open is looked at all the same.
    assert [f.tasks for f in report.findings] == [[stuck.pk]]


def test_queries_do_not_grow_with_what_is_found(
    django_assert_max_num_queries: Any,
) -> None:
    forced.forced_many(300, Status.WAITING)
    forced.forced_many(300, Status.COMPLETE, fence=1, attempts=1)

    with django_assert_max_num_queries(60):
        audit("default", pause=no_pause)


def test_an_audit_writes_nothing() -> None:
    for _, make in BROKEN.values():
        make()

    with CaptureQueriesContext(connection) as queries:
        found()

    assert {q["sql"].split()[0] for q in queries} == {"SELECT"}


def test_another_app_can_have_its_rows_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cq.maintenance.invariants.CHECKS", checks := [*CORE])
    monkeypatch.setattr(auditor, "CHECKS", checks)
    row = done()
    invariants.register(
        Check("I10", "made twice", tasks, Q(name="sample_tasks.square"))
    )

    assert found() == [("I10", "made twice", [row.pk])]


# --- the command ----------------------------------------------------------------------


def cq(*args: str) -> str:
    out = io.StringIO()
    call_command("cq", "audit", *args, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_looked_at() -> None:
    run(sample_tasks.logs_lines.delay(2))

    assert cq() == (
        "rows looked at: 0 of cq_attempts, 1 of cq_tasks, 0 of cq_edges, 2 of cq_logs\n"
        "no invariant is broken\n"
    )
    assert json.loads(cq("--format", "json")) == {
        "findings": [],
        "looked_at": {"cq_attempts": 0, "cq_tasks": 1, "cq_edges": 0, "cq_logs": 2},
        "whole": True,
    }


def test_the_command_names_what_is_broken() -> None:
    rows = forced.forced_many(3, Status.COMPLETE, fence=1, attempts=1)
    out = io.StringIO()

    with pytest.raises(CommandError, match=r"^broken invariants: I3$"):
        call_command("cq", "audit", "--format", "json", "--limit", "2", stdout=out)
    with pytest.raises(CommandError):
        call_command("cq", "audit", "--limit", "2", stdout=(text := io.StringIO()))

    [finding] = json.loads(out.getvalue())["findings"]
    assert set(finding.pop("tasks")) < {str(row.pk) for row in rows}
    assert finding == {
        "invariant": "I3",
        "what": "COMPLETE, but it has no result",
        "total": 3,
    }
    assert "I3         ...  " in text.getvalue()
    assert "COMPLETE, but it has no result (3 rows)" in text.getvalue()
    assert "no invariant is broken" not in text.getvalue()


def test_the_command_says_that_the_time_was_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count(0, 40)
    monkeypatch.setattr(auditor.time, "monotonic", lambda: float(next(ticks)))

    assert "The time was over before all were; --seconds gives more." in cq()


@pytest.mark.parametrize("flag", ["--limit", "--seconds"])
def test_the_command_refuses_a_wrong_flag(flag: str) -> None:
    with pytest.raises(CommandError, match=f"{flag} is 0, but must be 1 or more"):
        cq(flag, "0")
