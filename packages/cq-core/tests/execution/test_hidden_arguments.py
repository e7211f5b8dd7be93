"""What error mails and trackers are told of a task whose arguments are secret."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables
from driving import run

from cq import task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "hun" + "ter2"


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task
@sensitive_variables()
def sync(cqt: Any, password: str) -> None:
    try:
        raise KeyError("a cause")
    except KeyError as error:
        raise RuntimeError("on purpose") from error


@task(atomic=False)
@sensitive_variables()
def beside(cqt: Any, password: str) -> None:
    raise RuntimeError("on purpose")


@task
@sensitive_variables()
async def coroutine(cqt: Any, password: str) -> None:
    raise RuntimeError("on purpose")


@task
@sensitive_variables()
def returns_what_cannot_be_stored(cqt: Any, password: str) -> Any:
    return [password, object()]


@task
@sensitive_variables()
def calls_another_wrongly(cqt: Any, password: str) -> Any:
    cqt.subtask(sync, password, password)


def reported(error: BaseException, trace: Any) -> list[str]:
    """The variables of each frame that Django's report has, but of this file."""
    reporter = ExceptionReporter(None, type(error), error, trace)
    return [
        f"{frame['filename']} {frame['function']}: {frame['vars']}"
        for frame in reporter.get_traceback_frames()
        if frame["filename"] != __file__
    ]


LAUNCHES: dict[str, Callable[[], Any]] = {
    "sync": lambda: sync.delay(SECRET),
    "kwargs": lambda: sync.delay(password=SECRET),
    "not atomic": lambda: beside.delay(SECRET),
    "async": lambda: coroutine.delay(SECRET),
    "async, kwargs": lambda: coroutine.delay(password=SECRET),
    "result": lambda: returns_what_cannot_be_stored.delay(SECRET),
    "a wrong call inside": lambda: calls_another_wrongly.delay(SECRET),
}


@pytest.mark.parametrize("what", list(LAUNCHES))
def test_no_frame_of_a_logged_failure_has_an_argument(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cq.runner"):
        assert run(LAUNCHES[what]()).status == Status.FAILURE
    (record,) = [r for r in caplog.records if r.name == "cq.runner"]
    assert record.exc_info is not None
    _, error, trace = record.exc_info
    assert error is not None
    frames = reported(error, trace)
    assert not [frame for frame in frames if SECRET in frame]
    if str(error) == "on purpose":
        # It begins at the task's function, as that of the row does.
        assert not [frame for frame in frames if "/src/cq/" in frame]


RAISES: dict[str, Callable[[], Any]] = {
    "serial": lambda: sync(SECRET),
    "serial, kwargs": lambda: sync(password=SECRET),
    "serial, async": lambda: coroutine(SECRET),
    "serial, wrongly called": lambda: sync(SECRET, SECRET),
    "wrongly called": lambda: sync.delay(SECRET, SECRET),
    "wrongly called by name": lambda: sync.delay(passwort=SECRET),
    "not to be stored": lambda: sync.delay([SECRET, object()]),
    "many": lambda: sync.delay_many([(SECRET, SECRET)]),
}


@pytest.mark.parametrize("what", list(RAISES))
def test_no_frame_of_what_a_call_raises_has_an_argument(what: str) -> None:
    with pytest.raises((RuntimeError, TypeError)) as raised:
        RAISES[what]()
    frames = reported(raised.value, raised.value.__traceback__)
    assert frames
    assert not [frame for frame in frames if SECRET in frame]


async def test_nor_has_one_of_a_coroutine() -> None:
    for call in (lambda: sync.adelay(SECRET, SECRET), lambda: coroutine(SECRET)):
        with pytest.raises((RuntimeError, TypeError)) as raised:
            await call()
        frames = reported(raised.value, raised.value.__traceback__)
        assert not [frame for frame in frames if SECRET in frame]


async def test_a_coroutine_that_waits_is_not_ended_by_it() -> None:
    """The runner of a coroutine waits while another thread logs what was raised in it."""
    from cq import tracebacks

    namespace: dict[str, Any] = {"__name__": "cq.runner", "asyncio": asyncio}
    exec(
        "async def runner(fails, forget):\n"
        "    try:\n"
        "        fails()\n"
        "    except ValueError as error:\n"
        "        await asyncio.to_thread(forget, error)\n"
        "    return 'done'\n",
        namespace,
    )
    ended = await namespace["runner"](lambda: int("x"), tracebacks.forget_locals)
    assert ended == "done"
