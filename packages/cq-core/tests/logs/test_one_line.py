"""What a log or a terminal gets of stored text is a line, and rules nothing."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

import cq
from cq import task
from cq.cli.output import Output
from cq.logs.one_line import LOGGERS
from cq.models import Task
from cq.status import Status
from cq.testing import run_tasks

FOUL = "ok\nCRITICAL root: wiped\r\x1b]0;pwned\x07\x1b[2J\u202e\u2028x"


@task("one_line.says")
def says(cqt: Any) -> None:
    cqt.log(FOUL)


@task("one_line.fails")
def fails(cqt: Any) -> None:
    raise ValueError(FOUL)


@pytest.fixture
def log() -> Any:
    """What a plain handler of the root writes, as a worker's would."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    level = logging.getLogger("cq").level
    logging.getLogger("cq").setLevel(logging.DEBUG)
    yield stream
    logging.getLogger("cq").setLevel(level)
    root.removeHandler(handler)


def assert_harmless(text: str) -> None:
    assert text
    for sign in "\x1b\x07\r\u202e\u2028":
        assert sign not in text


@pytest.mark.django_db(transaction=True)
def test_row_s17_no_task_forges_a_line_of_the_log(settings: Any, log: Any) -> None:
    settings.CQ_RUN_INLINE = False
    says.delay()
    fails.delay()
    run_tasks()
    assert_harmless(log.getvalue())
    lines = log.getvalue().splitlines()
    assert [line for line in lines if "INFO ok\\nCRITICAL root: wiped\\r" in line]
    # The text of a traceback keeps its lines, as the exception has them.
    before_trace = log.getvalue().split("Traceback")[0]
    assert "\nCRITICAL" not in before_trace


@pytest.mark.django_db(transaction=True)
def test_row_s17_a_name_in_a_row_forges_none(settings: Any, log: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 0
    made = says.delay()
    Task.objects.update(name="x\nCRITICAL \x1b[2J")
    run_tasks()
    made.refresh_from_db()
    assert made.status == Status.FAILURE
    assert_harmless(log.getvalue())
    assert "\nCRITICAL" not in log.getvalue()


def test_row_s17_every_logger_of_cq_is_among_them() -> None:
    packages = Path(cq.__file__).parents[3]
    found = {
        name
        for path in packages.glob("*/src/**/*.py")
        for name in re.findall(r'getLogger\("(cq[\w.]*)"\)', path.read_text())
    }
    assert found
    assert found == set(LOGGERS)


def test_numbers_stay_numbers(log: Any) -> None:
    logging.getLogger("cq.worker").warning("%d of %.1f %s", 1, 2.5, None)
    assert log.getvalue() == "WARNING 1 of 2.5 None\n"


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["retry", "revoke", "show"])
def test_no_error_of_a_command_rules_the_terminal(settings: Any, verb: str) -> None:
    settings.CQ_RUN_INLINE = False
    made = [says.delay() for _ in range(2)]
    done = {"status": Status.COMPLETE, "finished": made[0].submitted}
    Task.objects.update(name=FOUL, **({} if verb == "retry" else done))
    common = f"{made[0].pk.hex[:4]}" if verb == "show" else str(made[0].pk)
    with pytest.raises(CommandError) as caught:
        call_command("cq", verb, common)
    assert_harmless(str(caught.value))
    assert "\\x1b" in str(caught.value)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("way", ["line", "table", "fields"])
def test_no_output_of_a_command_rules_the_terminal(way: str) -> None:
    from django.core.management.base import OutputWrapper

    stream = Terminal()
    output = Output(OutputWrapper(stream))
    if way == "line":
        output.line(FOUL)
    elif way == "table":
        output.table(["a"], [[FOUL]])
    else:
        output.fields([("a", FOUL)])
    assert_harmless(stream.getvalue())
