"""The examples of docs/deploying.md run as they stand there, but for their paths."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import PATIENCE, until

from cq.conf import conf
from cq.models import Worker

if TYPE_CHECKING:
    from processes import Workers

# What is shown is the same on each of them.
pytestmark = pytest.mark.backend("sqlite")

PAGE = Path(__file__).parents[1] / "docs" / "deploying.md"
FILE = "/tmp/cq"


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def flags(command: list[str]) -> list[str]:
    """Return what comes after the name of the command."""
    return command[command.index("cqworker") + 1 :]


def processes() -> set[int]:
    return set(Worker.objects.filter(kind="worker").values_list("pid", flat=True))


def docker() -> tuple[list[str], str]:
    text = block("dockerfile")
    command = json.loads(text.partition("CMD ")[2].partition("\n")[0])
    return flags(command), text.partition("HEALTHCHECK CMD ")[2]


def kubernetes() -> tuple[list[str], str]:
    found = [json.loads(line) for line in re.findall(r": (\[.*\])", block("yaml"))]
    command, probe = found
    assert probe[:2] == ["sh", "-c"]
    return flags(command), probe[2]


@pytest.mark.parametrize("example", [docker, kubernetes])
def test_a_container_is_healthy_while_its_worker_is(
    example: object, workers: Workers, tmp_path: Path
) -> None:
    assert callable(example)
    given, probe = example()
    path = str(tmp_path / "healthy")
    assert FILE in given
    assert FILE in probe
    probe = probe.replace(FILE, path)

    def healthy() -> bool:
        return (
            subprocess.run(["sh", "-c", probe], stderr=subprocess.DEVNULL).returncode
            == 0
        )

    assert not healthy()
    worker = workers.start(*(path if flag == FILE else flag for flag in given))
    until(healthy, "its health")
    assert worker.terminate() == 0, worker.output
    assert not healthy()


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
