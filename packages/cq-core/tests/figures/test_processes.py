"""Figures of processes that end, and of those that were forked from one that counts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db.models import Sum

from cq.models import Figure

pytestmark = pytest.mark.django_db(transaction=True)

#: In a process of its own: it ends.
SCRIPT = """
import os, sys, warnings
warnings.simplefilter("ignore")  # of forking beside threads
import django
django.setup()
from django.db import connections
from cq import task

@task
def counted(cqt):
    pass

counted()
connections.close_all()
child = os.fork()
for _ in range(2 if child else 3):
    counted()
if child:
    os.waitpid(child, 0)
if sys.argv[1] == "raises":
    raise SystemExit(3)
"""


@pytest.mark.parametrize("how", ["ends", "raises"])
def test_each_process_writes_what_it_has_counted_itself_when_it_ends(how: str) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == (3 if how == "raises" else 0), done.stderr
    assert Figure.objects.aggregate(Sum("complete")) == {"complete__sum": 1 + 2 + 3}
