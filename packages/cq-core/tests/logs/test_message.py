"""What a log call says, and at which level."""

from __future__ import annotations

import logging
from typing import Any

import driving
import pytest

from cq import task
from cq.logs.message import message_and_level
from cq.serial.workflow import SerialTask

INFO, DEBUG = logging.INFO, logging.DEBUG

#: (message, args, text, level)
CALLS: list[tuple[object, tuple[Any, ...], str, int]] = [
    ("text", (), "text", INFO),
    # As the README of the first django-cq has it.
    ("text", (DEBUG,), "text", DEBUG),
    ("x %s", (3,), "x 3", INFO),
    ("%d of %d", (3, 4), "3 of 4", INFO),
    ("%(n)s", ({"n": 1},), "1", INFO),
    ("%5.1f%%", (99.5,), " 99.5%", INFO),
    ("%s", ((1, 2),), "(1, 2)", INFO),
    # Nothing to put in: what stands there is not touched.
    ("100 %d", (), "100 %d", INFO),
    ("50%% done", (DEBUG,), "50%% done", DEBUG),
    ("100% done", (DEBUG,), "100% done", DEBUG),
    # The text of an exception may have anything in it.
    (ValueError("x %s"), (DEBUG,), "x %s", DEBUG),
    # A mistake in a log call ends no task.
    ("%d files", ("many",), "%d files ('many',)", INFO),
    ("%s of %s", (3,), "%s of %s (3,)", INFO),
    ("%(n)s", ({"m": 1},), "%(n)s ({'m': 1},)", INFO),
    ("x", ("y",), "x ('y',)", INFO),
    ("x", (1, 2), "x (1, 2)", INFO),
    ("x", (True,), "x (True,)", INFO),
]


@pytest.mark.parametrize(("message", "args", "text", "level"), CALLS)
def test_a_message_is_formatted_as_in_logging(
    message: object, args: tuple[Any, ...], text: str, level: int
) -> None:
    assert message_and_level(message, args, INFO) == (text, level)


def test_the_level_can_be_named_beside_what_is_put_in() -> None:
    assert message_and_level("x %s", (3,), DEBUG) == ("x 3", DEBUG)


SAID = [("x 3", INFO), ("y", DEBUG), ("z 4", DEBUG)]


@task("message.says")
def says(cqt: Any) -> list[tuple[str, int]]:
    cqt.log("x %s", 3)
    cqt.log("y", DEBUG)
    cqt.log("z %s", 4, level=DEBUG)
    # Of a serial run: no row has them.
    # Of a row they are stored beside it, and not yet.
    lines = cqt.logs if isinstance(cqt, SerialTask) else []
    return [(line.message, line.level) for line in lines]


@task("message.asays", atomic=False)
async def asays(cqt: Any) -> None:
    await cqt.alog("x %s", 3)
    await cqt.alog("y", DEBUG)
    await cqt.alog("z %s", 4, level=DEBUG)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("function", [says, asays])
def test_a_task_stores_what_it_said(function: Any, settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    made = driving.run(function.delay())
    assert list(made.logs.values_list("message", "level")) == SAID


@pytest.mark.django_db
def test_its_serial_double_says_the_same() -> None:
    assert says() == SAID
