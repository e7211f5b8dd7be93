"""The worker on Windows, where it cannot run: it says so, and what does."""

from __future__ import annotations

import os
import subprocess
import sys

#: As on Windows: no fcntl, and none of the signals of POSIX.
SCRIPT = """
import signal, sys
import django
from django.core.management import CommandError, call_command
sys.modules["fcntl"] = None
del signal.SIGHUP, signal.SIGCHLD
django.setup()
sys.platform = "win32"
try:
    call_command("cqworker")
except CommandError as error:
    print(error)
"""


def test_the_worker_says_that_it_does_not_run_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == (
        "cqworker does not run on Windows, which has no signals to stop it and its "
        "processes by; manage.py cq run --loop runs tasks there\n"
    ), done.stderr
