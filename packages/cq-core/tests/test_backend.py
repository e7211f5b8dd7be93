"""cq behind Django's own Tasks."""

from __future__ import annotations

import sys
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from cq import registry
from cq import task as cq_task
from cq.backends import CQBackend, TaskExpired, TaskIncomplete, TaskLost
from cq.codec import Encoded
from cq.django_api import (
    DjangoTask,
    InvalidTask,
    TaskContext,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from cq.errors import Revoked, UnknownTask
from cq.models import Task
from cq.picking import claim_next
from cq.runner import execute
from cq.status import Status
from cq.testing import run_tasks, serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        returns_a_set=decorate(returns_a_set),
        counts=decorate(backend="beside", queue_name="any")(counts),
    )


def after(result: TaskResult[..., Any]) -> TaskResult[..., Any]:
    run_tasks()
    result.refresh()
    return result


# --- enqueue and the result -----------------------------------------------------------


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
    from cq.django_results import status_of

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


# --- the set-up -----------------------------------------------------------------------


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


if django.VERSION < (6, 0):

    def test_without_the_backport_it_says_what_to_install(
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delitem(sys.modules, "cq.django_api")
        monkeypatch.setitem(sys.modules, "django_tasks", None)

        with pytest.raises(ImportError, match=r'pip install "cq-core\[backport\]"'):
            import_module("cq.django_api")
