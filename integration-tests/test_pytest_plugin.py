"""A project that uses the plugin of cq, run by a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cq_backends
import pytest

SITE = Path(__file__).with_name("plugin_site")
#: Seconds for one run of its tests.
PATIENCE = 400


@pytest.fixture(autouse=True)
def _server() -> None:
    """The server of the suite is where the project's is, by the environment."""
    cq_backends.databases()


def run(folder: Path, *flags: str, **environment: str) -> str:
    """Run tests of the project, in a database of its own; what pytest printed."""
    command = [sys.executable, "-m", "pytest", "--ds=plugin_settings", "-rA", *flags]
    done = subprocess.run(
        command,
        cwd=SITE,
        env=os.environ | {"PLUGIN_SITE": str(folder)} | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )
    return done.stdout


def passed(output: str, count: int) -> bool:
    found = re.findall(
        r"(\d+) (passed|failed|errors?|skipped)", output.splitlines()[-1]
    )
    return found == [(str(count), "passed")]


def test_two_processes_have_a_database_each_and_a_worker_each(tmp_path: Path) -> None:
    output = run(tmp_path, "-n", "2", "cases_tasks.py", "cases_worker.py")
    assert passed(output, 24), output
    assert "gw1" in output


def test_a_clock_may_stand_still(tmp_path: Path) -> None:
    output = run(tmp_path, "cases_clocks.py")
    assert passed(output, 17), output


def test_a_worker_needs_commits(tmp_path: Path) -> None:
    flags = ("-o", "python_functions=refused_*", "-o", "python_classes=Refused")
    output = run(tmp_path, *flags, "cases_worker.py::refused_test")
    assert "1 error" in output
    assert (
        "use @pytest.mark.django_db(transaction=True), or a TransactionTest" in output
    )


@pytest.mark.backend("sqlite")
def test_a_worker_cannot_see_a_database_in_memory(tmp_path: Path) -> None:
    output = run(
        tmp_path, "cases_worker.py", "-k", "killed", PLUGIN_SITE_IN_MEMORY="yes"
    )
    assert "1 error" in output
    assert 'Set DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test' in output
