"""The serial double beside the row: the same names, and the same behaviour of each."""

from __future__ import annotations

import inspect
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.core.exceptions import FieldError
from django.db.models import Model

from cq import (
    AlreadySettled,
    CodecError,
    CycleError,
    GiveUp,
    NotFinished,
    NotRetryable,
    RetryLater,
    Revoked,
    TaskFailed,
    WaitError,
    chain,
    group,
    task,
)
from cq.lifecycle import rules
from cq.models import Task
from cq.serial import workflow
from cq.serial.sets import SerialManager, SerialSet
from cq.serial.workflow import SerialTask
from cq.status import FAILED, Status
from cq.tables.rows import EdgeRow
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

script: list[Callable[[Any], Any]] = []


@task
def scripted(cqt: Any, *given: Any) -> Any:
    return script.pop(0)(cqt)


@task(atomic=False)
def loose(cqt: Any, *given: Any) -> Any:
    return script.pop(0)(cqt)


@task
def gives(cqt: Any, value: Any) -> Any:
    return value


@task
def fails(cqt: Any, *given: Any) -> None:
    raise ValueError("no")


@task
def says(cqt: Any, text: str) -> None:
    cqt.log(text)


@task
def tells_why(cqt: Any) -> str:
    return f"{cqt.previous.status}: {cqt.previous.error}"


Run = Any


@pytest.fixture(params=["serial", "row"])
def run(request: pytest.FixtureRequest, settings: Any) -> Run:
    """Run a call, or a function as a task, to its end; its handle."""
    settings.CQ_RUN_INLINE = True
    script.clear()

    def _run(what: Any, **options: Any) -> Any:
        if not hasattr(what, "delay"):
            script.insert(0, what)
            what = scripted.using(**options).s() if options else scripted.s()
        if request.param == "row":
            made = what.delay()
            run_tasks()  # what is to be tried again
            return made.wait(10)
        return workflow.launch(what)

    return _run


# --- the same names -----------------------------------------------------------------------

#: What a row has and a serial run does not, with the reason.
ROWS_ONLY = {
    "become": "takes over what was read of a row",
    "bind": "ties the object to a run of the worker",
    "decode_field": "reads a column",
    "tag_rows": "rows of a table that a serial run has no part in",
    "edges": "rows of a table that a serial run has no part in",
    "misfits": "tries by code of another release, and this is of its own",
    "log_lines": "a column that numbers stored lines",
    "open_edges": "a hint for what queues rows",
    "ended": "what the completer of a worker is told",
    "stored_text": "what stands in a column",
    "rerun_lost": "a serial run has no worker that could die",
    "result_from": "an id to look a row up by",
    "result_ttl": "how long a row is kept",
    "lane": "serial runs keep no limits",
    "listed": "serial runs keep no limits",
    "unique_key": "of rows that are live",
    "worker": "a serial run has none",
    "worker_id": "a serial run has none",
    "Meta": "Django's, of a model",
    "DoesNotExist": "Django's, of a model",
    "MultipleObjectsReturned": "Django's, of a model",
    "NotUpdated": "Django's, of a model",
    "objects": "Django's, of a model",
    "get_next_by_submitted": "Django's, of a model",
    "get_previous_by_submitted": "Django's, of a model",
    "get_status_display": "Django's, of a model",
}


def names() -> list[str]:
    own = {name for name in dir(Task) if not name.startswith("_")}
    of_a_model = set(dir(Model)) - {"check", "refresh_from_db", "arefresh_from_db"}
    return sorted(own - of_a_model - set(ROWS_ONLY))


@pytest.mark.parametrize("name", names())
def test_the_double_has_what_the_row_has(name: str) -> None:
    double = workflow.launch(gives.s(1))
    row = Task(name="x")

    assert hasattr(double, name)
    if name.startswith("STATUS_"):
        assert getattr(SerialTask, name) == getattr(Task, name)
    elif callable(getattr(SerialTask, name, None)):
        ours, theirs = getattr(double, name), getattr(row, name)
        assert parameters(ours) == parameters(theirs)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


def test_each_exception_is_one() -> None:
    double = workflow.launch(gives.s(1))
    assert [n for n in ROWS_ONLY if hasattr(double, n)] == []


def test_the_words_of_when_are_those_of_the_table() -> None:
    assert rules.WHEN == EdgeRow.WHEN
    assert (rules.WHEN_COMPLETE, rules.WHEN_FAILED, rules.WHEN_SETTLED) == (
        EdgeRow.WHEN_COMPLETE,
        EdgeRow.WHEN_FAILED,
        EdgeRow.WHEN_SETTLED,
    )


def test_the_columns_are_those_of_the_call(run: Run) -> None:
    later = timedelta(days=1)
    seen: dict[str, Any] = {}

    def look(cqt: Any) -> None:
        for name in ("queue", "priority", "status", "attempts", "fence", "failures"):
            seen[name] = getattr(cqt, name)
        seen["left"] = cqt.expires - cqt.submitted
        seen["set"] = (cqt.run_after, cqt.finished, cqt.started is not None)
        seen["tree"] = (cqt.root_id == cqt.id, cqt.parent, cqt.previous, cqt.depth)

    done = run(look, queue="mail", priority=7, expires=later)

    assert seen == {
        "queue": "mail",
        "priority": 7,
        "status": Status.RUNNING,
        "attempts": 1,
        "fence": 1,
        "failures": 0,
        "left": pytest.approx(later, abs=timedelta(seconds=5)),
        "set": (None, None, True),
        "tree": (True, None, None, 0),
    }
    assert done.finished >= done.started
    assert done.done


def test_what_was_before_it_is_no_waiting(run: Run) -> None:
    waited = []

    def waits(cqt: Any) -> None:
        assert cqt.started is not None
        assert cqt.waited() == cqt.started - cqt.ready_at
        waited.append((cqt.ready is None, cqt.ready_at >= cqt.submitted))

    def parent(cqt: Any) -> None:
        script.append(fails_once)
        cqt.subtask(gives, 1).chain(scripted.using(retries=1, backoff=0))

    def fails_once(cqt: Any) -> None:
        waits(cqt)
        script.append(waits)
        raise ValueError("once")

    run(waits)
    run(parent)

    # Recorded as queued; behind another one; its second attempt.
    assert waited == [(True, True), (False, True), (False, True)]


def test_arguments_show_the_handles_and_results_are_copies(run: Run) -> None:
    def parent(cqt: Any) -> None:
        made = cqt.subtask(gives, [1])
        cqt.subtask(sample_tasks.merge, [made])

    top = run(parent)

    merge, made = top.subtasks.all()
    [[given]] = merge.args
    assert given.id == made.id
    made.result.append(2)
    assert (made.result, merge.result) == ([1], [[1]])


# --- subtasks -----------------------------------------------------------------------------


def test_subtasks_are_read_like_a_related_manager(run: Run) -> None:
    def parent(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        cqt.subtask(fails)

    subtasks = run(parent).subtasks

    assert [t.name.rpartition(".")[2] for t in subtasks.all()] == ["fails", "gives"]
    assert (subtasks.count(), len(subtasks.all())) == (2, 2)
    assert subtasks.filter(status=Task.STATUS_COMPLETE).count() == 1
    assert subtasks.filter(status__in=sorted(FAILED), priority__gte=0).exists()
    assert subtasks.exclude(status="COMPLETE").first().error == "no"
    assert subtasks.last().result == 1
    assert not subtasks.filter(expires__lt=subtasks.last().submitted).exists()
    assert not subtasks.filter(queue="other").exists()
    assert subtasks.filter(queue="other").first() is None
    assert subtasks.filter(error=None).count() == 1
    with pytest.raises(TypeError):
        iter(subtasks)
    with pytest.raises(FieldError):
        subtasks.filter(nothing=1)


async def test_a_set_has_async_twins() -> None:
    found: SerialManager[Any] = SerialManager(lambda: [1, 2], frozenset())

    assert [one async for one in found.all()] == [1, 2]
    assert await found.acount() == 2
    assert await found.aexists()
    assert (await found.afirst(), await found.alast()) == (1, 2)


def test_what_needs_a_table_is_refused_by_name() -> None:
    found: SerialSet[int] = SerialSet([1], frozenset({"status"}))
    with pytest.raises(AttributeError, match=r"no \.annotate\(\) here; use all\(\)"):
        found.annotate()
    with pytest.raises(FieldError, match="'name__contains' up in; there are status"):
        found.filter(name__contains="x")


def test_a_refused_subtask_leaves_no_trace(run: Run) -> None:
    def parent(cqt: Any) -> None:
        with pytest.raises(TypeError):
            cqt.subtask(gives)
        with pytest.raises(CodecError):
            cqt.subtask(gives, object())
        with pytest.raises(TypeError):
            cqt.subtask(group(gives.s(1), gives.s()))

    top = run(parent)

    assert (top.status, top.subtasks.count()) == (Status.COMPLETE, 0)


def test_a_queue_that_is_not_listed_is_refused(run: Run, settings: Any) -> None:
    settings.CQ_QUEUES = ["default"]

    def parent(cqt: Any) -> None:
        with pytest.raises(ValueError, match="queue 'mail' is not in CQ_QUEUES"):
            cqt.subtask(gives.using(queue="mail"), 1)

    assert run(parent).status == Status.COMPLETE


def test_a_failed_subtask_is_the_reason_of_its_parent(run: Run) -> None:
    top = run(lambda cqt: cqt.subtask(fails) and None)

    child = top.subtasks.first()
    assert (top.status, top.exception) == (Status.INCOMPLETE, "ValueError")
    assert (top.cause, top.traceback) == (child.id, child.traceback)
    assert top.error == f"subtask {child.name} {child.id} is FAILURE: no"
    with pytest.raises(TaskFailed, match="is INCOMPLETE: subtask"):
        top.get()


def test_a_failed_atomic_attempt_takes_what_it_made_with_it(run: Run) -> None:
    def parent(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        cqt.chain(scripted)
        raise ValueError("after all")

    top = run(parent)

    assert (top.status, top.subtasks.count()) == (Status.FAILURE, 0)
    assert top.failures == 1


def test_a_failed_attempt_that_is_not_atomic_keeps_what_it_made(run: Run) -> None:
    def parent(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        raise ValueError("after all")

    script.append(parent)
    top = run(loose.s())

    assert (top.status, top.subtasks.count()) == (Status.FAILURE, 1)


def test_a_settled_parent_takes_no_more(run: Run) -> None:
    top = run(lambda cqt: cqt.subtask(gives, 1) and None)

    with pytest.raises(AlreadySettled, match=f"task {top.id} has settled; nothing can"):
        top.subtask(gives, 2)
    with pytest.raises(AlreadySettled, match="nothing can be added under it any more"):
        top.subtasks.first().chain(gives)


# --- chains -------------------------------------------------------------------------------


def test_when_is_one_of_three(run: Run) -> None:
    top = run(gives.s(1))
    with pytest.raises(
        ValueError,
        match="when is 'never', but must be one of complete, failed, settled",
    ):
        top.chain(gives, when="never")


@pytest.mark.parametrize(
    ("what", "when", "status"),
    [
        (gives.s(1), "complete", Status.COMPLETE),
        (gives.s(1), "failed", Status.SKIPPED),
        (gives.s(1), "settled", Status.COMPLETE),
        (fails.s(), "complete", Status.INCOMPLETE),
        (fails.s(), "failed", Status.COMPLETE),
        (fails.s(), "settled", Status.COMPLETE),
    ],
)
def test_when_decides_what_follows(
    run: Run, what: Any, when: str, status: Status
) -> None:
    first = run(what)

    last = first.chain(tells_why, when=when)

    last.wait(10)
    assert (last.status, last.previous_id) == (status, first.id)
    if status == Status.INCOMPLETE:
        assert last.error == f"predecessor {first.name} {first.id} is FAILURE: no"
        assert last.chain(gives, when="complete").wait(10).status == status
    if status == Status.SKIPPED:
        assert last.get() is None
        assert last.chain(tells_why).wait(10).status == status


def test_what_is_chained_inside_starts_after_the_end(run: Run) -> None:
    made: list[Any] = []

    def first(cqt: Any) -> str:
        items = [1]
        made.append(cqt.chain(gives.si(items)))
        items.append(2)
        made.append(cqt.errorback(tells_why))
        made.append(cqt.chain(sample_tasks.merge.si([made[0], cqt])))
        assert {one.status for one in made} == {Status.PENDING}
        assert {one.previous.id for one in made} == {cqt.id}
        return "first"

    run(first)

    chained, errorback, merged = (one.wait(10) for one in made)
    # The arguments are bound when the call is made.
    assert (chained.status, chained.result) == (Status.COMPLETE, [1])
    assert (errorback.status, errorback.result) == (Status.SKIPPED, None)
    assert merged.result == [[1], "first"]


def test_an_errorback_finds_the_error(run: Run) -> None:
    back = run(fails.s()).errorback(tells_why).wait(10)

    assert back.result == "FAILURE: no"


def test_a_failed_member_makes_group_and_chain_incomplete(run: Run) -> None:
    both = run(group(gives.s(1), fails.s()))
    line = run(chain(gives.s(1), fails.s(), gives.s()))

    assert (both.status, both.result) == (Status.INCOMPLETE, [1, None])
    assert both.error.endswith("is FAILURE: no")
    assert [t.status for t in line.subtasks.all()] == [
        Status.INCOMPLETE,
        Status.FAILURE,
        Status.COMPLETE,
    ]
    assert (both.queue, both.attempts, both.args) == ("default", 0, ())
    assert run(group()).result == []


def test_what_would_wait_for_itself_is_a_cycle(run: Run) -> None:
    def parent(cqt: Any) -> None:
        with pytest.raises(CycleError):
            cqt.subtask(gives, cqt)
        with pytest.raises(CycleError):
            cqt.subtask(gives, cqt.chain(gives.si(1)))

    top = run(parent)

    assert (top.status, top.subtasks.count()) == (Status.COMPLETE, 0)


def test_a_returned_chain_is_adopted_with_its_log_and_what_is_before_it(
    run: Run,
) -> None:
    def parent(cqt: Any) -> Any:
        cqt.log("parent")
        return says.delay("first").chain(gives.si(2))

    top = run(parent)

    assert (top.status, top.result, top.subtasks.count()) == (Status.COMPLETE, 2, 2)
    assert {(t.root_id, t.depth) for t in top.subtasks.all()} == {(top.id, 1)}
    assert top.format_logs() == "parent\nfirst"
    assert [line.number for line in top.logs] == [1, 2]


# --- log and progress ---------------------------------------------------------------------


def test_lines_gather_at_the_top_with_level_and_task(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def parent(cqt: Any) -> None:
        cqt.log("above", logging.DEBUG)
        cqt.log("held", logging.WARNING, publish=False)
        cqt.subtask(says, "below")

    with caplog.at_level(logging.DEBUG, "cq.task"):
        top = run(parent)

    child = top.subtasks.first()
    said = [r for r in caplog.records if r.name == "cq.task"]
    assert [(r.getMessage(), r.levelno, r.task_id) for r in said] == [  # type: ignore[attr-defined]
        ("above", 10, str(top.id)),
        ("held", 30, str(top.id)),
        ("below", 20, str(child.id)),
    ]
    assert [(x.number, x.level, x.message, x.task_id, x.attempt) for x in top.logs] == [
        (1, 10, "above", top.id, 1),
        (2, 30, "held", top.id, 1),
        (3, 20, "below", child.id, 1),
    ]
    assert top.logs.filter(level__gte=logging.WARNING).count() == 1
    assert str(top.logs.last()) == "below"
    assert top.format_logs() == "above\nheld\nbelow"
    assert child.format_logs() == "below"


def test_limit_keeps_the_last_lines(run: Run) -> None:
    def parent(cqt: Any) -> None:
        with pytest.raises(ValueError, match="limit is -1, but must be a number"):
            cqt.log("x", limit=-1)
        for number in range(5):
            cqt.log(str(number))
        cqt.log("last", limit=2)
        cqt.log("more")

    assert run(parent).format_logs() == "4\nlast\nmore"


def test_the_middle_of_a_long_log_goes(run: Run) -> None:
    def parent(cqt: Any) -> None:
        for number in range(1, 26):
            cqt.log(str(number))

    text = run(parent, log_limit=10).format_logs().splitlines()

    assert text[:5] == ["1", "2", "3", "4", "5"]
    assert text[5:] == ["[... 15 lines left out ...]", "21", "22", "23", "24", "25"]


def test_progress_sums_over_the_subtasks(run: Run) -> None:
    seen: list[Any] = []

    def below(cqt: Any) -> None:
        cqt.set_progress(1, 4)
        cqt.subtask(gives, 1)

    def parent(cqt: Any) -> None:
        for _ in cqt.track([1, 2], message="half"):
            seen.append(cqt.progress_done)
        script.append(below)
        cqt.subtask(scripted)
        with pytest.raises(ValueError, match="done is -1, but must be a number"):
            cqt.set_progress(-1)

    top = run(parent)

    assert seen == [0, 1]
    assert repr(tuple(top.progress)) == "(7, 7, 'half')"
    child = top.subtasks.first()
    assert tuple(child.progress) == (1 + 1, 4 + 1, "")
    assert tuple(child.subtasks.first().progress) == (0, None, "")


# --- waiting, revoking, retrying ----------------------------------------------------------


def test_a_run_waits_for_nothing_that_waits_for_it(run: Run) -> None:
    def child(cqt: Any) -> None:
        with pytest.raises(WaitError, match="return instead"):
            cqt.parent.wait()

    def parent(cqt: Any) -> None:
        with pytest.raises(WaitError, match="return instead"):
            cqt.wait()
        with pytest.raises(WaitError):
            cqt.chain(gives.si(1)).get()
        script.append(child)
        cqt.subtask(scripted)

    assert run(parent).status == Status.COMPLETE


def test_what_has_settled_is_waited_for_at_once(run: Run) -> None:
    top = run(gives.s(1))
    top.refresh_from_db()
    assert top.wait(0) is top
    assert (top.get(0), top.done) == (1, True)
    with pytest.raises(TaskFailed):
        run(fails.s()).get()


@pytest.mark.parametrize("reason", [(), ("Not wanted.",)])
def test_what_has_not_started_can_be_revoked(run: Run, reason: tuple[str, ...]) -> None:
    made: list[Any] = []

    def parent(cqt: Any) -> None:
        one = cqt.chain(gives.si(1))
        made.extend([one, one.chain(gives.si(2)), one.errorback(tells_why)])
        assert one.revoke(*reason)
        assert not one.revoke()

    run(parent)

    one, chained, back = (t.wait(10) for t in made)
    assert (one.status, one.attempts) == (Status.REVOKED, 0)
    assert one.error == "".join(reason or ["It was revoked."])
    assert chained.status == Status.INCOMPLETE
    assert chained.error == f"predecessor {one.name} {one.id} is REVOKED: {one.error}"
    assert back.result == f"REVOKED: {one.error}"
    assert not run(gives.s(1)).revoke()


def test_only_what_has_finished_could_be_retried(run: Run) -> None:
    def parent(cqt: Any) -> None:
        with pytest.raises(
            NotFinished, match="is RUNNING; only a finished task can be"
        ):
            cqt.retry()

    top = run(parent)

    with pytest.raises(NotFinished, match="is SKIPPED; only a finished task"):
        top.errorback(gives, 1).wait(10).retry()


def test_a_serial_run_has_no_row_to_retry() -> None:
    with pytest.raises(NotRetryable, match=r"ran serially .* call the task again"):
        workflow.launch(fails.s()).retry()


def test_a_retry_that_succeeds_leaves_no_error(run: Run) -> None:
    def first(cqt: Any) -> None:
        raise ValueError("once")

    script.append(lambda cqt: (cqt.attempts, cqt.failures, cqt.error))
    done = run(first, retries=1, backoff=0)

    assert (done.status, done.failures) == (Status.COMPLETE, 1)
    assert done.result == (2, 1, None)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_retry_later_is_another_attempt_and_no_failure(
    run: Run, atomic: bool
) -> None:
    def first(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        raise RetryLater(0)

    script.append(lambda cqt: (cqt.attempts, cqt.failures, cqt.stopping))
    done = run(first, atomic=atomic)

    assert (done.status, done.failures) == (Status.COMPLETE, 0)
    assert done.result == (2, 0, False)
    assert all(not child.counted for child in done.subtasks.filter())


def test_who_gives_up_fails_at_once(run: Run) -> None:
    def first(cqt: Any) -> None:
        cqt.errorback(tells_why)
        raise GiveUp("why") from KeyError("this")

    done = run(first, retries=5, backoff=0)

    assert (done.status, done.attempts, done.failures) == (Status.FAILURE, 1, 1)
    assert (done.error, done.exception) == ("why", "cq.errors.GiveUp")
    assert "KeyError: 'this'" in done.traceback


def test_serially_too_ten_thousand_times_in_a_row_are_the_most() -> None:
    @task("doubles.never", atomic=False, retries=3)
    def never(cqt: Any) -> None:
        raise RetryLater(3600)

    with pytest.raises(GiveUp, match="10,000 times in a row") as caught:
        never()

    assert isinstance(caught.value.__cause__, RetryLater)


def test_a_predicate_that_raises_asks_for_no_retry(run: Run) -> None:
    top = run(picky.s())

    assert (top.status, top.error, top.attempts) == (Status.FAILURE, "no", 1)


@task(retries=3, retry_on=(lambda error: error.missing,))
def picky(cqt: Any) -> None:
    raise ValueError("no")


def test_what_is_out_of_time_hears_of_it_when_it_calls_in(run: Run) -> None:
    def late(cqt: Any) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            cqt.check()

    top = run(late, timeout=0.05)

    assert (top.status, top.exception) == (Status.FAILURE, "cq.errors.TaskTimeout")
    assert top.error == "It ran longer than its timeout of 0.05 s."


def test_a_serial_run_that_is_revoked_hears_of_it_when_it_calls_in() -> None:
    def parent(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        assert cqt.revoke()
        for call in (cqt.check, cqt.check_claim, lambda: cqt.set_progress(1)):
            with pytest.raises(Revoked, match="was revoked while it ran"):
                call()
        cqt.log("never")

    script[:] = [parent]
    top = workflow.launch(scripted.s())

    assert (top.status, top.result, top.error) == (
        Status.REVOKED,
        None,
        "It was revoked.",
    )
    assert (top.format_logs(), top.subtasks.count()) == ("", 0)


@pytest.mark.usefixtures("closing")
async def test_the_async_twins(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True

    assert await atwins() == [3, "later", False, "line"]


@task(atomic=False)
async def atwins(cqt: Any) -> list[Any]:
    await cqt.alog("line", limit=5)
    await cqt.aset_progress(1, 2)
    child = await cqt.asubtask(gives, 3)
    await child.arefresh_from_db()
    later = await (await child.achain(gives.si("later"))).await_()
    await child.aerrorback(tells_why)
    with pytest.raises(NotRetryable):
        await child.aretry()
    return [
        await child.aget(),
        later.result,
        await child.arevoke("late"),
        await cqt.aformat_logs(),
    ]


# --- what waits for a run that is open ----------------------------------------------------


def test_another_tree_waits_for_the_end_of_a_run(run: Run) -> None:
    made: list[Any] = []

    def other(cqt: Any) -> None:
        # This tree settles after the one that it was made in.
        cqt.subtask(sample_tasks.merge, [made[0]])

    def outer(cqt: Any) -> str:
        made.append(gives.delay(cqt))
        script.append(other)
        made.append(scripted.delay())
        return "outer"

    run(outer)

    after, beside = (t.wait(10) for t in made)
    assert (after.status, after.result) == (Status.COMPLETE, "outer")
    assert (beside.status, beside.subtasks.first().result) == ("COMPLETE", ["outer"])


def test_a_retried_attempt_that_is_not_atomic_leaves_its_subtasks_as_history(
    run: Run,
) -> None:
    def first(cqt: Any) -> None:
        cqt.subtask(fails)
        raise ValueError("once")

    script.extend([first, lambda cqt: cqt.subtask(gives, 1).id and "done"])
    top = run(loose.using(retries=1, backoff=0).s())

    assert (top.status, top.result, top.error) == (Status.COMPLETE, "done", None)
    assert [t.counted for t in top.subtasks.all()] == [True, False]
    assert tuple(top.progress) == (1, 1, "")


def test_a_serial_child_revokes_its_parent() -> None:
    seen: list[Any] = []

    def child(cqt: Any) -> None:
        assert cqt.parent.revoke("Enough.")
        cqt.log("never")

    def parent(cqt: Any) -> None:
        script.append(child)
        seen.append(cqt.subtask(scripted))
        cqt.check()

    script[:] = [parent]
    top = workflow.launch(scripted.s())

    assert (top.status, top.error) == (Status.REVOKED, "Enough.")
    assert (seen[0].status, seen[0].error) == (
        Status.REVOKED,
        f"Task {top.id} was revoked.",
    )
    script[:] = [lambda cqt: cqt.revoke()]
    with pytest.raises(TaskFailed, match="is REVOKED: It was revoked"):
        scripted()


def test_a_call_that_could_never_run_is_refused() -> None:
    def parent(cqt: Any) -> None:
        with pytest.raises(CycleError, match="which is not done"):
            gives(cqt)

    script[:] = [parent]
    assert scripted() is None


def test_each_failure_without_a_caller_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = workflow.launch(fails.s())
    first.chain(fails, when="settled")
    first.chain(gives, 1)

    said = [r for r in caplog.records if r.name == "cq.serial"]
    assert [r.getMessage() for r in said] == [f"{fails.name} raised"] * 2


def test_a_long_chain_and_a_deep_tree_are_no_recursion() -> None:
    made: list[Any] = []

    def parent(cqt: Any) -> int:
        last = cqt
        for number in range(400):
            last = last.chain(gives.si(number))
        made.append(last)
        made.append(cqt.chain(chain(gives.si(number) for number in range(400))))
        return deep(100)

    script[:] = [parent]
    assert scripted() == 0
    assert [t.get() for t in made] == [399, 399]


@task
def deep(cqt: Any, levels: int) -> Any:
    return cqt.subtask(deep, levels - 1) if levels else 0


# --- rows among serial runs ---------------------------------------------------------------


def test_the_handle_of_a_row_is_waited_for(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    row = gives.delay(3)
    run_tasks()
    # What the handle says is what was recorded, not what has become of it.
    assert row.status == Status.QUEUED

    assert sample_tasks.merge([row]) == [3]


# --- errorbacks and handles that a function gives ------------------------------------


@task("doubles.notes_why")
def notes_why(cqt: Any) -> str:
    return str(cqt.previous.error)


def test_an_errorback_that_a_failing_task_has_made_for_itself_runs(run: Run) -> None:
    def body(cqt: Any) -> None:
        cqt.subtask(gives, 1)
        cqt.errorback(notes_why)
        cqt.chain(notes_why, when="settled")
        cqt.chain(gives)
        raise ValueError("no")

    def parent(cqt: Any) -> None:
        script.append(body)
        cqt.subtask(scripted)

    top = run(parent)
    ran = [t for t in top.subtasks.all() if t.name.endswith("notes_why")]

    assert [(t.status, t.result) for t in ran] == [(Status.COMPLETE, "no")] * 2
    # What it had made for other cases is undone with it.
    assert not [t for t in top.subtasks.all() if t.name.endswith("gives")]


def test_an_errorback_of_an_attempt_that_is_tried_again_runs_once(run: Run) -> None:
    def body(cqt: Any) -> None:
        cqt.errorback(notes_why)
        raise ValueError("no")

    def parent(cqt: Any) -> None:
        script.extend([body, body])
        cqt.subtask(scripted.using(retries=1, backoff=0))

    top = run(parent)
    ran = [t for t in top.subtasks.all() if t.name.endswith("notes_why")]

    assert [t.result for t in ran] == ["no"]


@pytest.mark.parametrize("shape", ["list", "dict", "nested"])
def test_handles_that_a_function_returns_are_their_results(
    run: Run, shape: str
) -> None:
    def body(cqt: Any) -> Any:
        one, other = cqt.subtask(gives, 1), cqt.subtask(gives, 2)
        return {
            "list": [one, other],
            "dict": {"a": one, "b": 7},
            "nested": {"a": [one, {"b": (other, "x")}]},
        }[shape]

    top = run(body)

    assert top.status == Status.COMPLETE
    assert (
        top.result
        == {
            "list": [1, 2],
            "dict": {"a": 1, "b": 7},
            "nested": {"a": [1, {"b": (2, "x")}]},
        }[shape]
    )


def test_one_of_them_that_failed_is_why_the_task_did_not_succeed(run: Run) -> None:
    top = run(lambda cqt: [cqt.subtask(gives, 1), cqt.subtask(fails)])

    assert (top.status, top.exception) == (Status.INCOMPLETE, "ValueError")


def test_a_handle_where_none_can_stand_is_a_failure(run: Run) -> None:
    top = run(lambda cqt: {"a": {cqt.subtask(gives, 1)}})

    assert top.status == Status.FAILURE
    assert "stands for a result only" in top.error
