"""Mistakes, each with a clear error where it is made, and nothing left running."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import transaction
from django.utils import timezone
from floor import mistakes, tasks
from floor.models import Effect
from processes import HERE, PATIENCE, Workers, until

from cq import AlreadySettled, CodecError, UnknownTask, WaitError, WaitTimeout
from cq.models import Task, schedule_task
from cq.status import FINAL
from cq_scheduler.cron import CronError
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG_LINE = "*," * 50_000 + "* * * * *"


# Refused where they are made ----------------------------------------------------------


def schedule(line: str, func: Any = tasks.noop) -> Callable[[], Any]:
    return lambda: schedule_task(RepeatingTask, line, func)


def filled_in(line: str) -> Callable[[], Any]:
    return lambda: RepeatingTask(
        name=tasks.noop.name, crontab=line, timezone="UTC"
    ).full_clean()


def wait_before_the_commit() -> None:
    with transaction.atomic():
        tasks.noop.delay().wait(PATIENCE)


def add_to_what_has_settled(verb: str) -> Callable[[], Any]:
    def add() -> None:
        parent = tasks.noop.delay()
        parent.revoke()
        getattr(parent, verb)(tasks.noop)

    return add


NAMED = "floor.tasks.send_email"
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "an argument that is missing": (
        lambda: tasks.send_email.delay(),  # type: ignore[call-arg]
        TypeError,
        [NAMED, "'addr'"],
    ),
    "an argument too many": (
        lambda: tasks.send_email.delay("a", "b"),  # type: ignore[call-arg]
        TypeError,
        [NAMED, "too many positional"],
    ),
    "a keyword that nobody takes": (
        lambda: tasks.send_email.delay(address="a"),  # type: ignore[call-arg]
        TypeError,
        [NAMED, "'addr'"],
    ),
    "a bad call among good ones": (
        lambda: tasks.send_email.delay_many([("a",), ()]),
        TypeError,
        [NAMED, "'addr'"],
    ),
    "an object": (
        lambda: mistakes.echo.delay({"rows": [1, object()]}),
        CodecError,
        ['args[0]["rows"][1]: object cannot be stored'],
    ),
    "an object by keyword": (
        lambda: mistakes.echo.delay(value=[{"when": object()}]),
        CodecError,
        ['kwargs["value"][0]["when"]: object'],
    ),
    "NaN": (
        lambda: mistakes.echo.delay([1.0, math.nan]),
        CodecError,
        ["args[0][1]: float nan"],
    ),
    "2 MiB": (
        lambda: mistakes.echo.delay("x" * 2**21),
        CodecError,
        ["args", "limit is 1048576 bytes", "CQ_SIZE_LIMIT"],
    ),
    "depth 100": (
        lambda: mistakes.echo.delay(mistakes.nested(100)),
        CodecError,
        ["args[0][0][0]", "limit of 64", "CQ_DEPTH_LIMIT"],
    ),
    "a name that is not registered": (
        schedule("@daily", "shop.tasks.gone"),
        UnknownTask,
        ["'shop.tasks.gone'"],
    ),
    "a cron line of 100 KB": (schedule(LONG_LINE), CronError, ["256"]),
    "the 30th of February": (
        schedule("0 0 30 2 *"),
        CronError,
        ["day of month", "'30' never comes in month '2'"],
    ),
    "the eighth day of the week": (
        schedule("* * * * 8"),
        CronError,
        ["day of week: 8 is not valid"],
    ),
    "a cron line of 100 KB in a form": (
        filled_in(LONG_LINE),
        ValidationError,
        ["crontab", "256"],
    ),
    "the 30th of February in a form": (
        filled_in("0 0 30 2 *"),
        ValidationError,
        ["crontab", "day of month"],
    ),
    "the eighth day of the week in a form": (
        filled_in("* * * * 8"),
        ValidationError,
        ["crontab", "day of week"],
    ),
    "waiting before the commit": (
        wait_before_the_commit,
        WaitError,
        ["floor.tasks.noop", "transaction that is still open"],
    ),
    "a subtask of what has settled": (
        add_to_what_has_settled("subtask"),
        AlreadySettled,
        ["has settled"],
    ),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_where_it_is_made(name: str) -> None:
    make, error, said = REFUSED[name]
    with pytest.raises(error) as caught:
        make()
    for words in said:
        assert words in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not Task.objects.exclude(status__in=FINAL).exists()
    assert not RepeatingTask.objects.exists()


WRONG_SETTINGS = {
    "CQ_LEASE": ("soon", "CQ_LEASE is 'soon', but must be int or float"),
    "CQ_SIZE_LIMIT": (-1, "CQ_SIZE_LIMIT is -1, but must be at least 1024"),
    "CQ_QUEUES": ("mail", "CQ_QUEUES is 'mail', but must be list"),
    "CQ_DATABASE": ("gone", "CQ_DATABASE is 'gone', which is not in DATABASES"),
}


@pytest.mark.parametrize("name", WRONG_SETTINGS)
def test_a_wrong_setting_is_an_error_of_check(name: str, settings: Any) -> None:
    value, said = WRONG_SETTINGS[name]
    setattr(settings, name, value)
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    assert said in str(caught.value)
    assert "cq.E00" in str(caught.value)


#: Every setting that the page has.
SETTINGS = re.findall(
    r"(?m)^\| `(CQ_\w+)` \|", (HERE.parent / "docs" / "settings.md").read_text()
)
#: What is wrong with any of them, and what with one alone.
NO_VALUE: list[Any] = [3j, {"a": 3j}, b"hunter2"]
NO_NAMES: list[Any] = ["mail", [3j], [""]]
NO_SECONDS: list[Any] = ["soon", True, -1, float("nan"), float("inf"), [1]]
NO_VALUE_OF = {
    "CQ_DATABASE": [["default"], None],
    "CQ_QUEUES": NO_NAMES,
    "CQ_MIDDLEWARE": NO_NAMES,
    "CQ_CONTEXT": NO_NAMES,
    "CQ_SCHEDULABLE": ["no function", [3j]],
    "CQ_REDACT": ["no function", [3j]],
    "CQ_REDACT_TEXT": ["no function"],
    "CQ_RESULT_TTL": ["a while", -1, {"DONE": 1}],
    "CQ_RELEASE": ["", 7],
    "CQ_METRICS_TOKEN": ["short", True],
    "CQ_LIMITS": [
        ["stripe"],
        {"stripe": {"rate": "fast"}},
        {"stripe": {"rate": "0/s"}},
    ],
    "CQ_FAIR_WEIGHTS": ["no function", {"acme": 0}],
    "CQ_EMBEDDED": ["always"],
    **dict.fromkeys(
        [
            *("CQ_HEARTBEAT", "CQ_LEASE", "CQ_POLL", "CQ_SWEEP", "CQ_DRAIN"),
            *("CQ_UNKNOWN_GRACE", "CQ_UNIQUE_WAIT", "CQ_QUEUE_AGE", "CQ_ADMIN_TIMEOUT"),
        ],
        NO_SECONDS,
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_check_names_every_setting_that_is_wrong(name: str, settings: Any) -> None:
    for value in [*NO_VALUE, *NO_VALUE_OF.get(name, ())]:
        setattr(settings, name, value)
        said = [message for message in run_checks() if name in message.msg]
        assert [m.id for m in said if m.is_serious()], value
        assert all(message.hint for message in said), value
        # Its value, as far as anybody may see it.
        shown = [f"{part!r}"[:40] for part in (value, *parts_of(value))]
        if name == "CQ_METRICS_TOKEN":
            assert not any("hunter2" in message.msg for message in said)
        else:
            assert any(text in m.msg for text in shown for m in said), value


def parts_of(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | dict) else []


def test_a_worker_does_not_start_with_a_wrong_setting(
    workers: Workers, tmp_path: Path
) -> None:
    module = tmp_path / "wrong_settings.py"
    module.write_text('from settings import *\n\nCQ_LEASE = "soon"\n')
    where = ("--settings", module.stem, "--pythonpath", str(tmp_path))
    process = workers.command("cqworker", *where)
    assert process.popen.wait(PATIENCE) != 0
    assert "CQ_LEASE is 'soon'" in process.output


# Found out by the worker --------------------------------------------------------------


def unregistered() -> Task:
    task = tasks.noop.delay()
    Task.objects.filter(pk=task.pk).update(name="shop.tasks.gone")
    return task


Start = tuple["Callable[[], Task]", str, str, list[str]]
CODEC, WAIT = "cq.errors.CodecError", "cq.errors.WaitError"


def _returns(key: int, which: str, *said: str) -> Start:
    function = mistakes.writes_and_returns
    return lambda: function.delay(key, which), function.name, CODEC, list(said)


def _raises(message: str, stored: str) -> Start:
    function = mistakes.raises
    return lambda: function.delay(message), function.name, "ValueError", [stored]


def _circle(way: str, whom: str) -> Start:
    return (
        lambda: mistakes.start_a_circle(way, whom),
        mistakes.closes_a_circle.name,
        "cq.errors.CycleError",
        ["would wait for", "and so for itself"],
    )


#: How it is started; then the task that fails, its exception, and what its error says.
STARTED: dict[str, Start] = {
    "an object as result": _returns(1, "an object", 'result["rows"][1]: object'),
    "NaN as result": _returns(2, "NaN", 'result["mean"]: float nan'),
    "2 MiB as result": _returns(3, "2 MiB", "result", "1048576", "CQ_SIZE_LIMIT"),
    "depth 100 as result": _returns(4, "depth 100", "result[0]", "CQ_DEPTH_LIMIT"),
    "NUL in an error": _raises("a\x00b", r"a\x00b"),
    "a lone surrogate in an error": _raises("a\ud800b", r"a\ud800b"),
    "a name that is not registered": (
        unregistered,
        "shop.tasks.gone",
        "cq.errors.UnknownTask",
        ["'shop.tasks.gone'"],
    ),
    "waiting for itself": (
        mistakes.waits_for_itself.delay,
        mistakes.waits_for_itself.name,
        WAIT,
        ["waits for itself"],
    ),
    "waiting for its parent": (
        mistakes.has_one_that_waits.delay,
        mistakes.waits_for_its_parent.name,
        WAIT,
        ["as its parent"],
    ),
    "waiting for its subtask": (
        mistakes.waits_for_its_subtask.delay,
        mistakes.waits_for_its_subtask.name,
        WAIT,
        ["transaction that is still open"],
    ),
    "subtasks without an end": (
        mistakes.nests_for_ever.delay,
        mistakes.nests_for_ever.name,
        "cq.errors.DepthError",
        ["CQ_MAX_TREE_DEPTH is 100"],
    ),
    **{
        f"a circle by {way}, of {whom}": _circle(way, whom)
        for way in mistakes.WAYS
        for whom in mistakes.WHOM
    },
}
COME_BACK = {
    "NUL": "a\x00b",
    "a lone surrogate": "\ud800 and \udfff",
    "surrogates in the wrong order": ["\udc00\ud800", "\U0001f600"],
    "2**70": [2**70, -(2**70)],
}


@dataclass
class Ended:
    """What a worker has left of one tree of tasks."""

    status: str
    tree: list[Task]
    result: Any
    #: Keys of the rows that any of them has left.
    effects: list[int]


@pytest.fixture(scope="module")
def ended(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[dict[str, Ended]]:
    """All that is started below, run by one worker."""
    with django_db_blocker.unblock():
        workers = Workers(tmp_path_factory.mktemp("mistakes"))
        try:
            tops = {name: start[0]() for name, start in STARTED.items()}
            tops |= {n: mistakes.echo.delay(v) for n, v in COME_BACK.items()}
            workers.start()
            yield {name: _end(top) for name, top in tops.items()}
        finally:
            workers.end()
            call_command("flush", interactive=False, verbosity=0)


def _end(top: Task) -> Ended:
    try:
        top.wait(PATIENCE)
    except WaitTimeout:  # the row says more
        top.refresh_from_db()
    tree = list(Task.objects.filter(root=top.pk))
    effects = list(Effect.objects.values_list("key", flat=True))
    return Ended(top.status, tree, top.result, effects)


@pytest.mark.parametrize("name", STARTED)
def test_a_worker_ends_it_with_the_reason(ended: dict[str, Ended], name: str) -> None:
    _, culprit, exception, said = STARTED[name]
    tree = ended[name].tree
    failed = [t for t in tree if t.name == culprit and t.status == "FAILURE"]
    assert [t.exception for t in failed] == [exception], tree
    for words in said:
        assert words in failed[0].error
    assert failed[0].attempts == 1
    top = "FAILURE" if failed[0].parent_id is None else "INCOMPLETE"
    assert ended[name].status == top
    assert [t for t in tree if t.status not in FINAL] == []


@pytest.mark.parametrize("name", [n for n in STARTED if n.endswith("as result")])
def test_row_61_its_work_was_undone(ended: dict[str, Ended], name: str) -> None:
    assert len(ended[name].tree) == 1
    assert ended[name].effects == []


@pytest.mark.parametrize("name", COME_BACK)
def test_row_62_it_comes_back_as_it_went(ended: dict[str, Ended], name: str) -> None:
    assert (ended[name].status, ended[name].result) == ("COMPLETE", COME_BACK[name])


# A schedule whose task is gone --------------------------------------------------------


def test_a_schedule_whose_task_is_gone_says_so_and_holds_up_no_other(
    workers: Workers,
) -> None:
    gone, good = (
        schedule_task(RepeatingTask, "0 0 1 1 *", tasks.send_email, [addr])
        for addr in ("gone", "good")
    )
    now = timezone.now()
    RepeatingTask.objects.update(next_run=now)
    RepeatingTask.objects.filter(pk=gone.pk).update(name="shop.tasks.gone")
    workers.start()
    until(Task.objects.filter(status="COMPLETE").exists, "the good one's task")
    until(
        lambda: RepeatingTask.objects.get(pk=gone.pk).last_error,
        "the other one's error",
    )
    gone.refresh_from_db()
    good.refresh_from_db()
    assert "'shop.tasks.gone'" in gone.last_error
    assert (gone.enabled, gone.last_run) == (True, None)
    assert gone.next_run > now
    assert (good.last_error, good.last_run) == ("", now)
    assert [t.args for t in Task.objects.all()] == [("good",)]
