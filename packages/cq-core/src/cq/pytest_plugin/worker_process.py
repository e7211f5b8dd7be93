"""A real worker process for one test, with the test's databases."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: What leads to a database; the rest of its settings are the project's.
_ADDRESS = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
#: Seconds between two looks, and how many: a frozen clock would never come to an end.
_PAUSE, _LOOKS = 0.05, 1200
_SETTINGS = """\
# The project's settings, with the databases of the test that started this worker.
import json, os
from {module} import *

for _alias, _address in json.loads(os.environ["CQ_WORKER_DATABASES"]).items():
    DATABASES[_alias].update(_address)
"""


class WorkerProcess:
    """A ``cqworker`` that serves the database of the test.

    pid: of its supervisor. output: what it has printed so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "output.log"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._popen is None:
            raise RuntimeError("the worker was not started")
        return self._popen.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start it, or start it again; returns when it is ready.

        Fails the test where it cannot start.
        """
        if self._popen is not None and self._popen.poll() is None:
            raise RuntimeError("the worker runs already")
        _require_committed_rows()
        settings = _SETTINGS.format(module=_settings_module()) + _own_settings()
        (self._folder / "cq_worker_settings.py").write_text(settings)
        command = (sys.executable, "-m", "django", "cqworker")
        flags = ("--no-reload", "--no-scheduler", "--drain", "0")
        said = len(self.output)
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                (*command, *flags),
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                # What a test has left running ends with it.
                start_new_session=True,
            )
        for _ in range(_LOOKS):
            if "cqworker of " in self.output[said:]:
                return
            if self._popen.poll() is not None:
                break
            time.sleep(_PAUSE)
        self.end()
        pytest.fail(f"cqworker did not start:\n{self.output[said:]}", pytrace=False)

    def stop(self) -> None:
        """Stop it by SIGTERM; what runs is handed back to the queue."""
        self._end_by(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its processes, as a machine that goes down."""
        self._end_by(signal.SIGKILL)

    def end(self) -> None:
        """Stop it where it runs, and leave nothing of it."""
        self._end_by(signal.SIGTERM)
        self._end_by(signal.SIGKILL)

    def _end_by(self, number: int) -> None:
        if self._popen is None or self._popen.poll() is not None:
            return
        if number == signal.SIGTERM:
            self._popen.terminate()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
        for _ in range(_LOOKS):
            if self._popen.poll() is not None:
                return
            time.sleep(_PAUSE)

    def _environment(self) -> dict[str, str]:
        from django.db import connections

        databases = {
            alias: {
                key: connections[alias].settings_dict[key]
                for key in _ADDRESS
                if key in connections[alias].settings_dict
            }
            for alias in connections
        }
        paths = [str(self._folder), *(os.path.abspath(p) for p in sys.path)]
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "cq_worker_settings",
            "CQ_WORKER_DATABASES": json.dumps(databases, default=str),
            "PYTHONPATH": os.pathsep.join(paths),
        }


def _require_committed_rows() -> None:
    from django.apps import apps
    from django.db import connections

    from cq.conf import conf
    from cq.db.connections import in_memory

    using = conf.DATABASE
    if not apps.is_installed("cq_channels"):
        found = importlib.util.find_spec("cq_channels") is not None
        todo = 'put "cq_channels" into INSTALLED_APPS'
        todo = todo if found else f"install it, and {todo}"
        pytest.fail(f"cq_worker needs cq-channels: {todo}", pytrace=False)
    if in_memory(using):
        pytest.fail(
            f"cq_worker is another process, and the test database {using!r} is in the "
            f'memory of this one. Set DATABASES["{using}"]["TEST"] = '
            '{"NAME": BASE_DIR / "test.sqlite3"}',
            pytrace=False,
        )
    if connections[using].in_atomic_block:
        pytest.fail(
            "cq_worker sees only what is committed, and this test runs in a "
            "transaction: use @pytest.mark.django_db(transaction=True), or a "
            "TransactionTestCase",
            pytrace=False,
        )


def _settings_module() -> str:
    name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not name:
        pytest.fail(
            "cq_worker needs a settings module for its process: set "
            "DJANGO_SETTINGS_MODULE, instead of settings.configure()",
            pytrace=False,
        )
    return name


def _own_settings() -> str:
    """The settings of cq as the test has them, as far as they can be written down."""
    from django.conf import settings

    from cq.conf import SETTINGS

    lines = []
    for name in (f"CQ_{name}" for name in SETTINGS):
        if not hasattr(settings, name):
            continue
        text = repr(getattr(settings, name))
        with contextlib.suppress(ValueError, SyntaxError):
            ast.literal_eval(text)
            lines.append(f"{name} = {text}\n")
    return "".join(lines)
