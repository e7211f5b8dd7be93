"""cq behind Django's own Tasks."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from cq import backends
from cq import task as cq_task
from cq.backends import CQBackend, TaskExpired, TaskIncomplete, TaskLost
from cq.checks.limits import check_names_of_limits
from cq.codec import Encoded
from cq.db import transactions
from cq.definitions import registry
from cq.django_backend.api import (
    DjangoTask,
    InvalidTask,
    TaskContext,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from cq.errors import CodecError, RetryLater, Revoked, TaskTimeout, UnknownTask
from cq.execution.sync_runner import execute
from cq.maintenance import rescue
from cq.models import Task
from cq.status import Status
from cq.testing import assert_enqueued, run_tasks, serial
from cq.workers.claim_order import claim_next

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

api = import_module(DjangoTask.__module__)
READY, RUNNING, FAILED, SUCCESSFUL = (
    getattr(TaskResultStatus, name)
    for name in ("READY", "RUNNING", "FAILED", "SUCCESSFUL")
)


def add(a: int, b: int = 1) -> int:
    return a + b


async def aadd(a: int, b: int = 1) -> int:
    return a + b


def fails(message: str) -> None:
    raise ValueError(message)


class Odd(Exception):
    pass


def fails_oddly() -> None:
    raise Odd


def looks(context: TaskContext, *args: Any, **kwargs: Any) -> Any:
    result = context.task_result
    return [result.id, str(result.status), context.attempt, args, kwargs]


async def alooks(context: TaskContext) -> Any:
    return context.attempt


def returns_a_set() -> Any:
    return {1}


def counts(attempts: int) -> str:
    done.append(attempts)
    if len(done) < attempts:
        raise ValueError(len(done))
    return "done"


def comes_later(context: TaskContext, seconds: float) -> int:
    if context.attempt == 1:
        raise RetryLater(seconds)
    return context.attempt


done: list[Any] = []


@cq_task
def of_cq(cqt: Any) -> str:
    return "not Django's"


@pytest.fixture
def tasks(settings: Any) -> Iterator[SimpleNamespace]:
    """Django's tasks, decorated while TASKS names the backend."""
    settings.CQ_RUN_INLINE = False
    settings.TASKS = {
        "default": {"BACKEND": "cq.backends.CQBackend", "QUEUES": ["default", "mail"]},
        "beside": {
            "BACKEND": "cq.backends.CQBackend",
            "QUEUES": [],
            "OPTIONS": {"retries": 2, "backoff": 0, "atomic": False},
        },
    }
    done.clear()
    decorate = api.task
    return SimpleNamespace(
        add=decorate(add),
        aadd=decorate(aadd),
        fails=decorate(fails),
        fails_oddly=decorate(fails_oddly),
        looks=decorate(takes_context=True)(looks),
        alooks=decorate(takes_context=True, backend="beside")(alooks),
        comes_later=decorate(takes_context=True)(comes_later),
        returns_a_set=decorate(returns_a_set),
        counts=decorate(backend="beside", queue_name="any")(counts),
    )


def noted(call_next: Any, run: Any) -> Any:
    done.append((run.name, run.attempt, run.context))
    return call_next(run)


def after(result: TaskResult[..., Any]) -> TaskResult[..., Any]:
    run_tasks()
    result.refresh()
    return result


# --- enqueue and the result -----------------------------------------------------------


def test_hooks_are_around_it_too(
    tasks: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("hooks_of_a_project")
    module.noted = noted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.CQ_MIDDLEWARE = ["hooks_of_a_project.noted"]
    settings.CQ_CONTEXT = ["cq.context.language"]
    with translation.override("de"):
        result = after(tasks.add.enqueue(1, b=2))

    assert result.return_value == 3
    assert done == [(tasks.add.module_path, 1, {"language": "de"})]


def test_a_task_is_recorded_and_run(tasks: Any) -> None:
    result = tasks.add.enqueue(1, b=2)

    assert isinstance(result, TaskResult)
    assert (result.status, result.is_finished, result.attempts) == (READY, False, 0)
    assert (result.args, result.kwargs) == ([1], {"b": 2})
    assert abs(result.enqueued_at - timezone.now()) < timedelta(minutes=1)
    row = Task.objects.get(pk=result.id)
    assert (row.name, row.args, row.kwargs) == (tasks.add.module_path, (1,), {"b": 2})
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value

    after(result)

    assert (result.status, result.return_value, result.errors) == (SUCCESSFUL, 3, [])
    assert result.attempts == 1
    row.refresh_from_db()
    assert (result.enqueued_at, result.started_at) == (row.submitted, row.started)
    assert (result.finished_at, result.last_attempted_at) == (row.finished, row.started)


def test_a_coroutine_function_is_run(tasks: Any) -> None:
    assert after(tasks.aadd.enqueue(1)).return_value == 2


def test_the_async_calls_are_there(tasks: Any) -> None:
    async def main() -> None:
        result = await tasks.add.aenqueue(1)
        await sync_to_async(run_tasks)()
        await result.arefresh()

        assert result.return_value == 2
        assert (await tasks.add.aget_result(result.id)).return_value == 2

    # From here, so that the database work stays on this thread and its connection.
    async_to_sync(main)()


def test_on_an_event_loop_it_says_what_to_write(tasks: Any) -> None:
    async def main() -> None:
        tasks.add.enqueue(1)

    with pytest.raises(RuntimeError, match=r"await task.aenqueue\(\.\.\.\)"):
        async_to_sync(main)()


@pytest.mark.parametrize("queue", ["", "x" * 101])
def test_a_queue_that_has_no_column_is_refused(tasks: Any, queue: str) -> None:
    task = replace(tasks.counts, queue_name=queue)

    with pytest.raises(ValueError, match="queue is"):
        task.enqueue(1)


def test_a_result_is_found_by_its_id(tasks: Any) -> None:
    task = tasks.add.using(priority=7, queue_name="mail")
    enqueued = task.enqueue(5)

    found = tasks.add.get_result(enqueued.id)

    assert (found.id, found.status, found.args) == (enqueued.id, READY, [5])
    assert (found.task.func, found.task.priority) == (add, 7)
    assert (found.task.queue_name, found.backend) == ("mail", "default")
    with pytest.raises(api.TaskResultMismatch):
        tasks.fails.get_result(enqueued.id)


def test_what_is_no_result_of_the_backend_is_not_found(tasks: Any) -> None:
    others = [
        "",
        "none",
        "0193f0c2-0000-7000-8000-000000000000",
        str(of_cq.delay().pk),
        tasks.counts.enqueue(1).id,  # in a queue that this backend does not serve
    ]

    for other in others:
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_backend().get_result(other)


def test_enqueue_and_get_result_agree(
    tasks: Any, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        enqueued = tasks.add.enqueue(1)

    assert enqueued == tasks.add.get_result(enqueued.id)
    assert enqueued.enqueued_at == Task.objects.get(pk=enqueued.id).submitted


def test_within_a_run_they_agree_too(tasks: Any) -> None:
    _enqueued[:] = [tasks.add]
    row = enqueues_and_looks.delay()
    run_tasks()

    assert row.get() is True


@cq_task
def enqueues_and_looks(cqt: Any) -> bool:
    [task] = _enqueued
    result = task.enqueue(1)
    return bool(result == task.get_result(result.id))


def test_the_first_start_is_told_beside_the_last(tasks: Any) -> None:
    result = tasks.counts.enqueue(3)
    [first] = claim_next("default", 1, 1)
    execute(first)

    after(result)

    assert result.attempts == 3
    assert result.started_at == first.started
    assert result.last_attempted_at == Task.objects.get(pk=result.id).started
    assert result.started_at < result.last_attempted_at


def test_a_worker_that_died_has_started_it_first(tasks: Any) -> None:
    result = tasks.add.enqueue(1)
    [lost] = claim_next("default", 12345, 1)
    call_command("cq", "run")

    after(result)

    assert (result.status, result.attempts) == (SUCCESSFUL, 2)
    assert result.started_at == lost.started
    assert result.last_attempted_at > result.started_at


def test_queue_priority_and_time_are_honoured(tasks: Any) -> None:
    later = timezone.now() + timedelta(hours=1)
    result = tasks.add.using(priority=-5, queue_name="mail", run_after=later).enqueue(1)

    row = Task.objects.get(pk=result.id)
    assert (row.queue, row.priority, row.run_after) == ("mail", -5, later)
    assert row.status == Status.PENDING
    assert after(result).status == READY
    run_tasks(later + timedelta(seconds=1))
    result.refresh()
    assert result.status == SUCCESSFUL


def test_a_task_enqueued_in_a_transaction_goes_with_it(tasks: Any) -> None:
    with transaction.atomic():
        tasks.add.enqueue(1)
        transaction.set_rollback(True)

    assert not Task.objects.exists()


def test_serial_gives_the_result_at_once(tasks: Any) -> None:
    with serial():
        result = tasks.add.enqueue(1)

    assert (result.status, result.return_value) == (SUCCESSFUL, 2)


def test_serially_a_failure_is_in_the_result(tasks: Any) -> None:
    with serial(), transaction.atomic():  # as in a TestCase
        result = tasks.fails.enqueue("out of order")

    assert (result.status, result.attempts) == (FAILED, 1)
    assert [e.exception_class for e in result.errors] == [ValueError]


def test_what_was_enqueued_is_found_by_its_name(tasks: Any) -> None:
    tasks.add.enqueue(1)

    assert_enqueued(tasks.add.module_path, args=(1,))


def test_inside_a_serial_run_it_is_serial(tasks: Any) -> None:
    result = enqueues(tasks.add)

    assert result == [str(SUCCESSFUL), 5]
    assert not Task.objects.exists()


_enqueued: list[Any] = []


def enqueues(task: Any) -> Any:
    _enqueued[:] = [task]
    return enqueues_serially()


@cq_task
def enqueues_serially(cqt: Any) -> Any:
    result = _enqueued[0].enqueue(4)
    return [str(result.status), result.return_value]


# --- how a task ends ------------------------------------------------------------------


def test_a_failure_has_its_exception(tasks: Any) -> None:
    result = after(tasks.fails.enqueue("out of order"))

    assert result.status == FAILED
    [error] = result.errors
    assert error.exception_class is ValueError
    assert error.traceback.endswith("ValueError: out of order\n")
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value
    [error] = after(tasks.fails_oddly.enqueue()).errors
    assert error.exception_class_path.endswith("test_backend.Odd")
    assert error.exception_class.__name__ == "Odd"


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("trap.E", ImportError, "is not loaded in this process"),
        ("trap.inner.Outer.E", ImportError, "is not loaded in this process"),
        ("os.path", ImportError, "is not loaded in this process"),
        ("subprocess.Popen", ValueError, "does not reference a valid exception"),
        ("subprocess.run", ValueError, "does not reference a valid exception"),
    ],
)
def test_an_exception_that_a_row_names_is_not_imported(
    tasks: Any, tmp_path: Any, monkeypatch: Any, path: str, kind: Any, words: str
) -> None:
    (tmp_path / "trap.py").write_text("raise SystemError('this code ran')")
    monkeypatch.syspath_prepend(tmp_path)
    result = after(tasks.fails.enqueue("out of order"))
    Task.objects.filter(pk=result.id).update(exception=path)
    [error] = tasks.fails.get_result(result.id).errors

    with pytest.raises(kind, match=words):
        _ = error.exception_class


def test_what_is_lazy_is_not_woken_to_see_whether_it_is_an_exception(
    tasks: Any, monkeypatch: Any
) -> None:
    lazy = SimpleLazyObject(lambda: done.append("it ran"))
    monkeypatch.setattr(sys.modules[__name__], "lazy", lazy, raising=False)
    result = after(tasks.fails.enqueue("out of order"))
    Task.objects.filter(pk=result.id).update(exception=f"{__name__}.lazy")
    [error] = tasks.fails.get_result(result.id).errors

    with pytest.raises(ValueError, match="does not reference a valid exception"):
        _ = error.exception_class
    assert done == []


def test_an_exception_within_a_class_is_found(tasks: Any) -> None:
    result = after(tasks.fails.enqueue("out of order"))
    path = "django.contrib.auth.models.Group.DoesNotExist"
    Task.objects.filter(pk=result.id).update(exception=path)
    [error] = tasks.fails.get_result(result.id).errors

    assert error.exception_class.__qualname__ == "Group.DoesNotExist"


def _lost(row: Task) -> None:
    Task.objects.filter(pk=row.pk).update(rerun_lost=False)
    claim_next("default", 12345, 1)
    call_command("cq", "run")


def _expired(row: Task) -> None:
    Task.objects.filter(pk=row.pk).update(expires=timezone.now())
    run_tasks()


def _incomplete(row: Task) -> None:
    first = of_cq.delay()
    first.revoke()
    Task.objects.filter(pk=row.pk).update(status=Status.PENDING)
    row.edges.create(depends_on=first)
    run_tasks()


def test_the_errors_are_those_of_all_attempts_whatever_came_of_it(tasks: Any) -> None:
    def last_lines() -> list[str]:
        return [e.traceback.strip().rpartition("\n")[2] for e in result.errors]

    result = after(tasks.counts.enqueue(9))
    failed = [f"ValueError: {n}" for n in (1, 2, 3)]
    assert (result.status, last_lines()) == (FAILED, failed)

    Task.objects.get(pk=result.id).retry()
    result.refresh()
    assert (result.status, last_lines()) == (READY, failed)
    done.extend(range(9))
    result = after(result)
    assert (result.status, last_lines()) == (SUCCESSFUL, failed)
    assert [e.exception_class for e in result.errors] == [ValueError] * 3


def test_the_error_of_an_attempt_stays_beside_a_revocation(tasks: Any) -> None:
    result = tasks.add.enqueue(1)
    row = Task.objects.get(pk=result.id)
    claim_next("default", 12345, 1)
    rescue.rescue("default", 12345, "its worker was gone")
    row.revoke("no need")
    result.refresh()
    assert [e.exception_class for e in result.errors] == [TaskLost, Revoked]


@pytest.mark.parametrize(
    ("happens", "status", "kind"),
    [
        (_lost, Status.LOST, TaskLost),
        (_expired, Status.EXPIRED, TaskExpired),
        (_incomplete, Status.INCOMPLETE, TaskIncomplete),
        (lambda row: row.revoke("no need"), Status.REVOKED, Revoked),
    ],
)
def test_each_way_to_end_is_a_typed_error(
    tasks: Any, happens: Callable[[Task], Any], status: str, kind: type[BaseException]
) -> None:
    result = tasks.add.enqueue(1)
    row = Task.objects.get(pk=result.id)

    happens(row)

    row.refresh_from_db()
    result.refresh()
    assert (row.status, result.status) == (status, FAILED)
    [error] = result.errors
    assert error.exception_class is kind
    assert error.traceback == row.error


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PENDING, READY),
        (Status.QUEUED, READY),
        (Status.RETRY, READY),
        (Status.RUNNING, RUNNING),
        (Status.WAITING, RUNNING),
        (Status.COMPLETE, SUCCESSFUL),
        (Status.SKIPPED, SUCCESSFUL),
        (Status.FAILURE, FAILED),
        (Status.INCOMPLETE, FAILED),
        (Status.LOST, FAILED),
        (Status.REVOKED, FAILED),
        (Status.EXPIRED, FAILED),
    ],
)
def test_every_status_is_one_of_djangos(status: Status, expected: Any) -> None:
    from cq.django_backend.results import status_of

    assert status_of(status) == expected


def test_a_task_sees_itself_in_its_context(tasks: Any) -> None:
    result = tasks.looks.enqueue(1, two=2)

    after(result)

    assert result.return_value == [result.id, "RUNNING", 1, [1], {"two": 2}]
    assert after(tasks.alooks.using(queue_name="default").enqueue()).return_value == 1


def test_options_of_the_backend_are_those_of_its_tasks(tasks: Any) -> None:
    definition = registry.get(tasks.counts.module_path)
    assert (definition.options.retries, definition.options.atomic) == (2, False)
    assert definition.options.queue == "any"

    result = after(tasks.counts.enqueue(3))

    assert (result.status, result.return_value, result.attempts) == (
        SUCCESSFUL,
        "done",
        3,
    )
    assert done == [3, 3, 3]


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"add\(a.*: missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"c": 1}, "unexpected keyword argument 'c'"),
        ((timezone,), {}, "Unsupported type"),
        ((float("nan"),), {}, r"args\[0\]: float nan is not in JSON"),
    ],
)
def test_arguments_are_checked_where_they_are_given(
    tasks: Any, args: Any, kwargs: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        tasks.add.enqueue(*args, **kwargs)
    assert not Task.objects.exists()


def test_a_context_is_no_argument(tasks: Any) -> None:
    with pytest.raises(TypeError):
        tasks.alooks.using(queue_name="default").enqueue("context")


def test_a_result_that_is_no_json_is_a_failure(tasks: Any) -> None:
    [error] = after(tasks.returns_a_set.enqueue()).errors

    assert error.exception_class is TypeError


def test_what_cannot_be_a_task_is_refused_when_it_is_decorated(
    tasks: Any, settings: Any
) -> None:
    with pytest.raises(InvalidTask, match="module level"):
        api.task(lambda: None)
    with pytest.raises(InvalidTask, match="priority"):
        api.task(priority=101)(add)
    with pytest.raises(InvalidTask, match=r"'nope' is not valid"):
        api.task(queue_name="nope")(add)
    settings.CQ_QUEUES = ["default"]
    with pytest.raises(InvalidTask, match="queue 'mail' is not in CQ_QUEUES"):
        tasks.add.using(queue_name="mail")


def test_row_s1_only_what_was_decorated_runs(tasks: Any, settings: Any) -> None:
    """A row that names a function nobody decorated imports and runs nothing."""
    settings.CQ_UNKNOWN_GRACE = 0
    result = tasks.add.enqueue(1)
    for name in HOSTILE:
        Task.objects.filter(pk=result.id).update(
            name=name, status=Status.QUEUED, finished=None, args=Encoded("[]")
        )
        [row] = claim_next("default", 1, 1)
        execute(row)

        row.refresh_from_db()
        assert row.status == Status.FAILURE
        assert row.exception == f"{UnknownTask.__module__}.UnknownTask"
    assert done == []


def undecorated() -> None:
    done.append("it ran")


HOSTILE = [
    "os.getcwd",
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "django.core.management.call_command",
    f"{__name__}.undecorated",
]


def test_one_that_asks_for_it_is_tried_again(tasks: Any, sent: list[Any]) -> None:
    result = tasks.comes_later.enqueue(60)
    run_tasks()
    row = Task.objects.get(pk=result.id)
    assert (row.status, row.attempts, row.failures) == ("RETRY", 1, 0)
    assert ("task_finished", "FAILED") not in sent

    run_tasks(timezone.now() + timedelta(minutes=2))
    result.refresh()
    assert (str(result.status), result.return_value) == ("SUCCESSFUL", 2)


def test_one_that_expires_instead_has_finished(tasks: Any, sent: list[Any]) -> None:
    result = tasks.comes_later.enqueue(3600)
    Task.objects.filter(pk=result.id).update(
        expires=timezone.now() + timedelta(minutes=1)
    )
    run_tasks()

    assert Task.objects.get(pk=result.id).status == "EXPIRED"
    assert sent[-1] == ("task_finished", "FAILED")


# --- signals --------------------------------------------------------------------------


@pytest.fixture
def sent() -> Iterator[list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []

    def hear(name: str) -> Callable[..., None]:
        def receiver(sender: Any, task_result: Any, **kwargs: Any) -> None:
            assert sender is CQBackend
            heard.append((name, str(task_result.status)))

        return receiver

    receivers = {n: hear(n) for n in ("task_enqueued", "task_started", "task_finished")}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    yield heard
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


@pytest.mark.parametrize("name", ["add", "aadd"])
def test_signals_are_sent(tasks: Any, sent: list[Any], name: str) -> None:
    getattr(tasks, name).enqueue(1)
    run_tasks()

    assert sent == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_finished", "SUCCESSFUL"),
    ]


@pytest.mark.parametrize("name", ["task_started", "task_finished"])
def test_row_72_a_receiver_that_raises_leaves_the_outcome_alone(
    tasks: Any, name: str
) -> None:
    def raises(**kwargs: Any) -> None:
        raise ValueError("the receiver's own")

    signal = getattr(signals, name)
    signal.connect(raises)
    try:
        result = after(tasks.add.enqueue(1))
    finally:
        signal.disconnect(raises)

    assert str(result.status) == "SUCCESSFUL"


def test_signals_of_a_coroutine_on_no_transaction(tasks: Any, sent: list[Any]) -> None:
    after(tasks.alooks.using(queue_name="default").enqueue())

    assert [name for name, _ in sent] == [
        "task_enqueued",
        "task_started",
        "task_finished",
    ]


def test_only_the_last_failure_finishes_a_task(tasks: Any, sent: list[Any]) -> None:
    after(tasks.counts.enqueue(9))

    assert sent == [
        ("task_enqueued", "READY"),
        *[("task_started", "RUNNING")] * 3,
        ("task_finished", "FAILED"),
    ]


def test_serially_the_last_failure_finishes_a_task_too(
    tasks: Any, sent: list[Any]
) -> None:
    _enqueued[:] = [tasks.counts]
    assert only_enqueues() == "FAILED"

    assert [name for name, _ in sent].count("task_started") == 3
    assert [name for name, _ in sent].count("task_finished") == 1


@cq_task
def only_enqueues(cqt: Any) -> str:
    return str(_enqueued[0].enqueue(9).status)


def leaves() -> None:
    raise SystemExit("bye")


async def aleaves() -> None:
    raise SystemExit("bye")


def runs_over() -> None:
    while True:
        time.sleep(0)  # it can be interrupted in between


def returns_too_much() -> str:
    return "x" * 2000


def interrupts() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def finished() -> Iterator[list[TaskResult[..., Any]]]:
    heard: list[TaskResult[..., Any]] = []

    def receiver(task_result: Any, **kwargs: Any) -> None:
        heard.append(task_result)

    signals.task_finished.connect(receiver)
    yield heard
    signals.task_finished.disconnect(receiver)


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (leaves, SystemExit),
        (aleaves, SystemExit),
        (runs_over, TaskTimeout),
        (returns_too_much, CodecError),
    ],
)
def test_a_task_is_finished_whatever_ends_it(
    settings: Any, finished: list[Any], function: Any, kind: Any, atomic: bool
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_SIZE_LIMIT = 1024
    options = {"timeout": 0.05, "atomic": atomic}
    settings.TASKS = {
        "default": {"BACKEND": "cq.backends.CQBackend", "OPTIONS": options}
    }
    undefine(function)
    result = after(api.task(function).enqueue())

    assert result.status == FAILED
    assert [r.status for r in finished] == [FAILED]
    assert [e.exception_class for e in finished[0].errors] == [kind]
    assert finished[0].errors == result.errors


def test_a_commit_that_fails_is_the_end_of_a_task(
    tasks: Any, finished: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: Any) -> None:
        raise ValueError("not now")

    monkeypatch.setattr(transactions, "check_can_commit", refuses)

    result = after(tasks.add.enqueue(1))

    assert (result.status, [r.status for r in finished]) == (FAILED, [FAILED])


def test_keyboard_interrupt_ends_the_process_and_tells_nobody(
    tasks: Any, finished: list[Any]
) -> None:
    undefine(interrupts)
    api.task(interrupts).enqueue()

    with pytest.raises(KeyboardInterrupt):
        run_tasks()

    assert finished == []


def undefine(function: Any) -> None:
    # Its options are those of the backend that it is decorated for first.
    name = f"{function.__module__}.{function.__qualname__}"
    backends._known.pop(name, None)
    registry._definitions.pop(name, None)


@pytest.mark.parametrize("setting", ["CQ_SERIAL", "CQ_RUN_INLINE"])
def test_in_line_it_is_enqueued_before_it_runs(
    tasks: Any, sent: list[Any], settings: Any, setting: str
) -> None:
    setattr(settings, setting, True)

    result = tasks.add.enqueue(1)

    assert sent == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_finished", "SUCCESSFUL"),
    ]
    assert (result.status, result.return_value) == (SUCCESSFUL, 2)


def test_a_receiver_that_raises_leaves_an_in_line_run_alone(
    tasks: Any, settings: Any
) -> None:
    def raises(**kwargs: Any) -> None:
        raise ValueError("the receiver's own")

    settings.CQ_RUN_INLINE = True
    signals.task_enqueued.connect(raises)
    try:
        with pytest.raises(ValueError, match="the receiver's own"):
            tasks.add.enqueue(1)
    finally:
        signals.task_enqueued.disconnect(raises)

    assert [t.status for t in Task.objects.all()] == [Status.COMPLETE]


def test_in_a_serial_run_it_is_enqueued_before_it_runs(
    tasks: Any, sent: list[Any]
) -> None:
    assert enqueues(tasks.add) == [str(SUCCESSFUL), 5]

    assert [name for name, _ in sent] == [
        "task_enqueued",
        "task_started",
        "task_finished",
    ]
    assert sent[0] == ("task_enqueued", "READY")


# --- the set-up -----------------------------------------------------------------------


BEFORE_THE_APPS_ARE_READY = """
import django
from django.apps import apps
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["cq"], TASKS={"default": {"BACKEND": "cq.backends.CQBackend"}}
)
from cq.backends import CQBackend, TaskExpired, TaskIncomplete, TaskLost
from cq.django_backend.api import DjangoTask

from importlib import import_module

@import_module(DjangoTask.__module__).task
def early():
    pass

assert isinstance(early.get_backend(), CQBackend)
assert not apps.models_ready
"""


def test_it_is_there_before_the_apps_are_ready(tmp_path: Path) -> None:
    script = tmp_path / "early.py"
    script.write_text(BEFORE_THE_APPS_ARE_READY)

    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_checks_say_what_is_wrong(settings: Any) -> None:
    def ids(options: Any) -> list[str | None]:
        backend = CQBackend("default", {"OPTIONS": options})
        return [message.id for message in backend.check()]

    assert ids({}) == []
    assert ids({"retries": 3}) == []
    assert ids({"retry": 3}) == ["cq.E021"]
    assert ids({"retries": "3"}) == ["cq.E021"]
    settings.INSTALLED_APPS = [a for a in settings.INSTALLED_APPS if a != "cq"]
    assert ids({}) == ["cq.E020"]


def test_a_limit_of_its_options_that_the_settings_lack_is_told_of_each_task(
    settings: Any,
) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "cq.backends.CQBackend",
            "OPTIONS": {"limits": ["strip"]},
        }
    }
    undefine(fails_oddly)
    try:
        api.task(fails_oddly)
        name = f"{fails_oddly.__module__}.fails_oddly"
        said = [message.msg for message in check_names_of_limits()]
        assert f"{name} has the limit 'strip', which CQ_LIMITS lacks" in "".join(said)
    finally:
        undefine(fails_oddly)


def test_both_classes_catch_what_is_raised(
    tasks: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that still imports the backport catches what is raised, as Django's does."""
    backport = SimpleNamespace(
        InvalidTaskError=type("InvalidTaskError", (Exception,), {}),
        TaskResultDoesNotExist=type("TaskResultDoesNotExist", (Exception,), {}),
    )
    monkeypatch.setitem(sys.modules, "django_tasks.exceptions", backport)
    settings.CQ_QUEUES = ["default"]

    for queue in ("mail", "nope"):  # refused by cq, and by Django
        with pytest.raises(InvalidTask) as refused:
            tasks.add.using(queue_name=queue)
        assert isinstance(refused.value, backport.InvalidTaskError)
    with pytest.raises(TaskResultDoesNotExist) as missed:
        tasks.add.get_result("none")
    assert isinstance(missed.value, backport.TaskResultDoesNotExist)


if django.VERSION < (6, 0):

    def test_a_backport_with_djangos_own_name_is_taken(
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        exceptions = import_module("django_tasks.exceptions")
        monkeypatch.delitem(sys.modules, "cq.django_backend.api")
        monkeypatch.setattr(exceptions, "InvalidTask", Odd, raising=False)
        monkeypatch.delattr(exceptions, "InvalidTaskError")

        assert import_module("cq.django_backend.api").InvalidTask is Odd

    def test_without_the_backport_it_says_what_to_install(
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delitem(sys.modules, "cq.django_backend.api")
        monkeypatch.setitem(sys.modules, "django_tasks", None)

        with pytest.raises(ImportError, match=r'pip install "cq-core\[backport\]"'):
            import_module("cq.django_backend.api")
