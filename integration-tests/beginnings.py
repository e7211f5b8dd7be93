"""The beginnings of functions that real workers run.

A row that is RUNNING says only that a worker has claimed it: until its function begins, one
that stops hands it back as if it had never been claimed. And the row of an atomic task says
nothing of its function before that has ended. So those of `floor` that last leave a file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from floor.begun import FOLDER, GOES, MAY_GO
from processes import until

if TYPE_CHECKING:
    from cq.models import Task

# Before any worker is started, which has to know it.
os.environ[FOLDER] = tempfile.mkdtemp(prefix="cq-begun-")
atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)


def until_begun(*handles: Task) -> None:
    """Wait until the functions of these tasks have begun."""
    for handle in handles:
        file = Path(os.environ[FOLDER], str(handle.pk))
        until(file.exists, f"the beginning of {handle}")


def let_go(*handles: Task) -> None:
    """Let the functions go on that have begun and stay; returns once they do."""
    files = [Path(os.environ[FOLDER], str(handle.pk)) for handle in handles]
    for file in files:
        file.with_suffix(MAY_GO).touch()
    for file in files:
        until(file.with_suffix(GOES).exists, f"{file.name} to go on")
