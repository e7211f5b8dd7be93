"""What must hold at the end, checked row against row; each check names what is broken.

All but the last check hold the rows of tasks against the ledger that the tasks wrote
themselves, and against the journals of those who enqueued.
"""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import stepped.promises
from checking import Check
from crowds import most_at_once, most_within
from django.db import connection
from evidence import (
    CONTAINERS,
    Evidence,
    describe,
    extra_runs,
    handed_back,
    is_stepped,
    outside_runs,
)
from journal import COMMITTED, ROLLED_BACK

from cq.maintenance.audit import audit
from cq.status import FAILED, OPEN, Status

TASK_FAILED = "cq.errors.TaskFailed"
#: What these may raise by themselves; whatever else ends a run is the database's.
EXPECTED = {
    "work.tasks.fails": {"work.tasks.Hopeless"},
    "work.tasks.too_slow": {"cq.errors.TaskTimeout", "cq.TaskTimeout"},
    "work.tasks.flaky": {"work.tasks.Flaky"},
    "work.tasks.flaky_outside": {"work.tasks.Flaky"},
    "work.steps.order": {"work.steps.Declined"},
    "work.steps.trip": {"work.steps.Declined", TASK_FAILED},
}
SCHEDULED = ("work.tasks.scheduled",)
#: As in `work.tasks`, which only a site that is set up can import.
AT_ONCE, STARTS_A_SECOND, BURST = 2, 20, 10
#: Broken rows that a report names.
MOST = 10


def checks(evidence: Evidence) -> list[Check]:
    return [check(evidence) for check in CHECKS]


# --- the promises -------------------------------------------------------------------


def none_lost(evidence: Evidence) -> Check:
    check = Check("every committed enqueue has reached a final status")
    for task in evidence.told.ids(COMMITTED):
        check.must(task in evidence.rows, f"{task} has no row")
    for row in evidence.rows.values():
        check.must(row.status not in OPEN, describe(row))
    return check


def none_from_nowhere(evidence: Evidence) -> Check:
    check = Check("what was rolled back never was, and never ran")
    for task in evidence.told.ids(ROLLED_BACK):
        check.must(task not in evidence.rows, f"{task} has a row")
        check.must(task not in evidence.runs, f"{task} has run")
    for task in evidence.runs:
        check.must(task in evidence.rows, f"{task} has run, and has no row")
    return check


def atomic_effects(evidence: Evidence) -> Check:
    check = Check(
        "the effect of an atomic task is there once, or not at all if it failed"
    )
    for task, row in evidence.rows.items():
        runs = evidence.runs.get(task, [])
        if row.name in CONTAINERS or row.name == "work.tasks.nothing":
            continue
        if row.name in evidence.outside or is_stepped(row):
            continue
        # A result is written by the statement that completes the function: one whose
        # subtasks failed, or that was revoked while it waited for them, has one.
        kept = row.status in (Status.COMPLETE, Status.INCOMPLETE, Status.REVOKED)
        wanted = int(kept and row.__dict__["result"] is not None)
        check.must(len(runs) == wanted, f"{describe(row)} has {len(runs)} effects")
    return check


def runs_outside(evidence: Evidence) -> Check:
    check = Check(
        "every extra run of a non-atomic task is explained by a recorded loss"
    )
    for row, runs in outside_runs(evidence):
        explained = row.losses + (handed_back(row) if row.rerun_lost else 0)
        check.must(
            extra_runs(row, runs) <= explained, f"{describe(row)} has {len(runs)} runs"
        )
        twice = [fence for fence, n in Counter(r.fence for r in runs).items() if n > 1]
        check.must(not twice, f"{describe(row)} has run twice under fence {twice}")
        if row.status == Status.COMPLETE:
            check.must(bool(runs), f"{describe(row)} has never run")
    return check


def at_most_once(evidence: Evidence) -> Check:
    check = Check('on_lost="fail" never runs again after a loss')
    for row, runs in outside_runs(evidence):
        if not row.rerun_lost:
            check.must(len(runs) <= 1, f"{describe(row)} has {len(runs)} runs")
    return check


def revocations(evidence: Evidence) -> Check:
    check = Check("what revoke() withdrew is REVOKED")
    for task in evidence.told.revoked:
        row = evidence.rows.get(task)
        what = describe(row) if row else f"{task} has no row"
        check.must(row is not None and row.status == Status.REVOKED, what)
    return check


def results(evidence: Evidence) -> Check:
    check = Check("a COMPLETE task has the result that it must have")
    for task, facts in evidence.told.facts.items():
        row = evidence.rows.get(task)
        if row is not None and row.status == Status.COMPLETE and "result" in facts:
            right = row.result == facts["result"]
            check.must(
                right, f"{describe(row)}: {row.result!r}, not {facts['result']!r}"
            )
    return check


def failures(evidence: Evidence) -> Check:
    check = Check("nothing failed but as it should, or by its database's trouble")
    below = {r.parent_id for r in evidence.rows.values() if r.status in FAILED}
    for row in evidence.rows.values():
        if row.status == Status.FAILURE:
            exception = row.exception or ""
            expected = exception in EXPECTED.get(row.name, ())
            trouble = exception.startswith(("django.db.utils.", "psycopg."))
            # That of a subtask, which it has waited for.
            trouble = trouble or (exception == TASK_FAILED and row.pk in below)
            what = f"{describe(row)}: {exception}: {(row.error or '')[:200]}"
            check.must(expected or trouble, what)
    return check


def in_time(evidence: Evidence) -> Check:
    check = Check("none started before its time")
    # On SQLite a claim has the time at which it began to wait for the one write lock.
    allowed = 20.0 if connection.vendor == "sqlite" else 0.0
    for row in evidence.rows.values():
        # Of one that was revoked in its sleep it is the end of that.
        if row.run_after and row.started and not is_stepped(row):
            early = (row.run_after - row.started).total_seconds()
            check.must(early <= allowed, f"{describe(row)} started {early:.3f} s early")
    return check


def claims_counted(evidence: Evidence) -> Check:
    """The fence is raised by claims, losses and revocations, and twice by a return."""
    check = Check("the fence accounts for every claim, loss, return and revocation")
    for row in evidence.rows.values():
        rest = row.fence - row.attempts - row.losses - (row.status == Status.REVOKED)
        # A durable task comes back from each sleep by a claim that is no attempt.
        check.must(rest >= 0 and (rest % 2 == 0 or is_stepped(row)), describe(row))
    return check


def poisons(evidence: Evidence) -> Check:
    check = Check("a task that kills its worker is LOST after three")
    for row in evidence.rows.values():
        if row.name == "work.tasks.poison":
            right = row.status == Status.LOST and row.losses == 3
            check.must(right, describe(row))
    return check


def schedules(evidence: Evidence) -> Check:
    from cq_scheduler.models import RepeatingTask, Slot

    check = Check("each schedule has one task for each minute")
    for schedule in RepeatingTask.objects.order_by("pk"):
        found = list(Slot.objects.filter(schedule=schedule).order_by("slot"))
        for before, after in itertools.pairwise(found):
            gap = after.slot - before.slot
            check.must(gap == timedelta(minutes=1), f"{schedule}: {before.slot}, {gap}")
        for slot in found:
            known = str(slot.task_id) in evidence.rows
            check.must(known, f"{schedule} {slot.slot}: task {slot.task_id} has no row")
    named = [task for task, row in evidence.rows.items() if row.name in SCHEDULED]
    slots = {str(task) for task in Slot.objects.values_list("task", flat=True)}
    for task in named:
        check.must(task in slots, f"{describe(evidence.rows[task])} has no slot")
    return check


def limits(evidence: Evidence) -> Check:
    check = Check("never more at once, or within a second, than a limit allows")
    for key, found in evidence.stays.items():
        most = most_at_once(found)
        check.must(most <= AT_ONCE, f"{most} were at once at customer {key}")
    # A claim may be frozen between what it takes of the rate and its starts: at most a
    # burst comes late.
    most = most_within(evidence.metered, 1.0)
    check.must(most <= STARTS_A_SECOND + 2 * BURST, f"{most} started within a second")
    check.looked_at += len(evidence.metered)
    return check


def audited(evidence: Evidence) -> Check:
    """cq's own auditor."""
    check = Check("cq audit: invariants I1 to I13")
    report = audit("default", limit=MOST)
    check.looked_at = sum(report.looked_at.values())
    for finding in report.findings:
        ids = ", ".join(str(task) for task in finding.tasks[:MOST])
        check.broken.append(
            f"{finding.invariant}: {finding.what}: {finding.total}: {ids}"
        )
    return check


CHECKS = (
    none_lost,
    none_from_nowhere,
    atomic_effects,
    runs_outside,
    at_most_once,
    revocations,
    results,
    failures,
    in_time,
    claims_counted,
    poisons,
    schedules,
    limits,
    *stepped.promises.CHECKS,
    audited,
)
