"""The examples of docs/deploying.md run as they stand there, but for their paths."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cq_backends
import pytest
from processes import PATIENCE, until

from cq.conf import conf
from cq.models import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from processes import Workers

# What is shown is the same on each of them.
pytestmark = pytest.mark.backend("sqlite")

PAGE = Path(__file__).parents[1] / "docs" / "deploying.md"
FILE, PORT = "/tmp/cq", "8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def block(language: str) -> str:
    (found,) = blocks(language)
    return found


def flags(command: list[str]) -> list[str]:
    """Return what comes after the name of the command."""
    return command[command.index("cqworker") + 1 :]


def processes() -> set[int]:
    return set(Worker.objects.filter(kind="worker").values_list("pid", flat=True))


def commands(text: str) -> list[list[str]]:
    """Return the commands that a file of YAML has as lists of worker flags."""
    lists = [json.loads(line) for line in re.findall(r": (\[\"python.*\])", text)]
    return [flags(command) for command in lists]


def docker() -> tuple[list[str], str]:
    text = block("dockerfile")
    command = json.loads(text.partition("CMD ")[2].partition("\n")[0])
    return flags(command), text.partition("HEALTHCHECK CMD ")[2].strip()


def kubernetes() -> tuple[list[str], str]:
    _, text = blocks("yaml")
    (given,) = commands(text)
    path, port = re.findall(r"httpGet: \{path: (\S+), port: (\d+)\}", text)[0]
    url = f"http://127.0.0.1:{port}{path}"
    return given, f"python -c \"import urllib.request as u; u.urlopen('{url}')\""


def file() -> tuple[list[str], str]:
    text = PAGE.read_text()
    given = re.findall(r"`(--health-file \S+)`", text)[0]
    return given.split(), re.findall(r"`(test -n .*?)`", text)[0]


@pytest.mark.parametrize("example", [docker, kubernetes, file])
def test_a_container_is_healthy_while_its_worker_is(
    example: Callable[[], tuple[list[str], str]], workers: Workers, tmp_path: Path
) -> None:
    given, probe = example()
    shown, mine = (
        (FILE, str(tmp_path / "healthy"))
        if example is file
        else (PORT, str(cq_backends.free_port()))
    )
    assert shown in given
    assert shown in probe
    probe = probe.replace(shown, mine).replace("python ", f"{sys.executable} ", 1)

    def healthy() -> bool:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(["sh", "-c", probe], **silent).returncode == 0

    assert not healthy()
    worker = workers.start(*(mine if flag == shown else flag for flag in given))
    until(healthy, "its health")
    assert worker.terminate() == 0, worker.output
    assert not healthy()


@pytest.mark.parametrize("number", [0, 1])
def test_a_container_has_the_time_that_a_drain_takes(number: int) -> None:
    text = blocks("yaml")[number]
    (seconds,) = re.findall(r"[gG]race\w*: (\d+)s?\b", text) or re.findall(
        r"_grace_period: (\d+)s", text
    )
    assert int(seconds) > conf.DRAIN


def test_the_processes_of_a_platform_end_before_they_are_killed(
    workers: Workers,
) -> None:
    (procfile,) = (text for text in blocks("text") if text.startswith("release:"))
    command = re.findall(r"(?m)^worker: (.*)$", procfile)[0]
    given = flags(shlex.split(command))
    assert float(given[given.index("--drain") + 1]) < 30
    worker = workers.start(*given)
    assert worker.terminate() == 0, worker.output


def test_a_line_of_cron_runs_what_is_there(workers: Workers) -> None:
    line = re.findall(r"(?m)^    \*/5 .*$", PAGE.read_text())[0]
    worker = workers.command("cqworker", *flags(shlex.split(line)))
    assert worker.popen.wait(PATIENCE) == 0, worker.output


def test_a_unit_of_systemd_starts_reloads_and_stops_a_worker(workers: Workers) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block("ini"))
    service = unit["Service"]
    assert int(service["TimeoutStopSec"]) > conf.DRAIN
    worker = workers.start(*flags(shlex.split(service["ExecStart"])))
    # What systemd does on `systemctl reload`, and by default on `stop`.
    assert shlex.split(service["ExecReload"]) == ["/bin/kill", "-HUP", "$MAINPID"]
    before = processes()
    worker.popen.send_signal(signal.SIGHUP)
    until(lambda: len(processes() - before) == len(before), "its new processes")
    worker.signal_group(signal.SIGTERM)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
