"""A web server that enqueues, and forks its workers while the first ring is sent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.backend("valkey"),
    pytest.mark.django_db(transaction=True),
]

#: The first ring imports the layer's class, on a thread that the child will not have.
SCRIPT = """
import os, time, warnings
warnings.simplefilter("ignore")  # of forking beside threads
import django
django.setup()
from django.db import connections
from cq_channels.doorbells.sender import sender
from floor import tasks

tasks.noop.delay()
connections.close_all()
child = os.fork()
if not child:
    tasks.noop.delay()
    end = time.monotonic() + 60
    while not sender._transports and time.monotonic() < end:
        time.sleep(0.01)
    print(type(sender._transports["default"]).__name__, sender.close(60), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_row_15_a_child_forked_during_the_first_ring_rings_by_the_same_layer() -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["Layer", "True"], done.stderr
