"""Two releases of a project side by side: deploys and rollbacks under load lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sites
from django.db.models.functions import Now
from floor.models import Effect
from processes import HERE, PATIENCE, until

from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import Process, Workers

pytestmark = pytest.mark.backend("postgres")

SWITCHES = 20
#: Rounds of orders that a site records at each switch, and calls in each of them.
ROUNDS, CALLS = 10, 3

BEGINNING = """
from django.db import transaction
from cq import task
from floor.models import Effect

def effect(key):
    Effect.objects.create(key=key)
"""

RELEASES = {
    "1": """
@task("shop.send_invoice")
def send_invoice(cqt, key):
    effect(key)

@task("shop.pack")
def pack(cqt, key):
    effect(key)

@task("shop.ship")
def ship(cqt, key, carrier="post"):
    effect(key)

def order(key):
    send_invoice.delay(key)
    pack.delay(key + 1)
    ship.delay(key + 2)
""",
    # send_invoice has another name, pack has one argument more, ship has one less.
    "2": """
from enum import Enum

class Size(Enum):
    LARGE = "l"

@task("shop.send_bill")
def send_bill(cqt, key):
    effect(key)

@task("shop.send_invoice")
def send_invoice(cqt, *args, **kwargs):
    return cqt.subtask(send_bill, *args, **kwargs)

@task("shop.pack")
def pack(cqt, key, size=None):
    effect(key)

@task("shop.ship")
def ship(cqt, key):
    effect(key)

def order(key):
    send_bill.delay(key)
    pack.delay(key + 1, size=Size.LARGE)
    ship.delay(key + 2)
""",
}

#: Does what it is told, a word a line: it records rounds of orders as the site does, and
#: starts and stops the worker of this process.
PROGRAM = f"""
import sys
import django

django.setup()

from django.db import transaction
from cq_channels.worker.engine import Engine
import shop

key, engine = int(sys.argv[1]), None
for line in sys.stdin:
    order = line.strip()
    if order == "start":
        engine = Engine("default", threads=2, scheduler=False)
        engine.start()
    elif order == "stop":
        engine.stop()
    else:
        for _ in range(int(order)):
            with transaction.atomic():
                shop.order(key)
            key += {CALLS}
    print(order, flush=True)
"""


class Release:
    """A release of the project: its code, and a process that is its site and its worker."""

    def __init__(self, number: str, directory: Path, workers: Workers) -> None:
        self.first_key = int(number) * 1_000_000
        self.recorded = 0
        self._workers = workers
        directory.mkdir()
        (directory / "shop.py").write_text(BEGINNING + RELEASES[number])
        self._flags = sites.flags(
            directory,
            CQ_RELEASE=number,
            CQ_TASK_MODULES=("shop",),
            CQ_UNKNOWN_GRACE=600,
        )
        path = os.pathsep.join([str(directory), str(HERE)])
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.first_key)],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "own_settings",
                "PYTHONPATH": path,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, *orders: str | int) -> None:
        """Have it do one after the other: "start" or "stop" its worker, or so many rounds."""
        assert self._process.stdin is not None
        for order in orders:
            self._process.stdin.write(f"{order}\n")
            self.recorded += order if isinstance(order, int) else 0
        self._process.stdin.flush()

    def wait_until(self, *orders: str | int) -> None:
        assert self._process.stdout is not None
        for order in orders:
            assert self._process.stdout.readline() == f"{order}\n"

    def do(self, *orders: str | int) -> None:
        self.begin(*orders)
        self.wait_until(*orders)

    def start_worker(self) -> Process:
        return self._workers.start("--threads", "2", *self._flags)

    def check(self) -> Process:
        return self._workers.command("cq", "check-deploy", *self._flags)

    @property
    def keys(self) -> list[int]:
        return [self.first_key + n for n in range(self.recorded * CALLS)]

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def releases(workers: Workers, tmp_path: Path) -> Iterator[tuple[Release, Release]]:
    one, two = (Release(n, tmp_path / f"release_{n}", workers) for n in RELEASES)
    yield one, two
    one.end()
    two.end()


def keys() -> list[int]:
    return sorted(Effect.objects.values_list("key", flat=True))


def all_have_ended() -> bool:
    return not Task.objects.filter(finished__isnull=True).exists()


def outcomes() -> set[tuple[str, str | None]]:
    return set(Task.objects.values_list("status", "error"))


def test_twenty_switches_under_load_fail_lose_and_double_nothing(
    releases: tuple[Release, Release],
) -> None:
    one, two = releases
    one.do("start")
    for number in range(SWITCHES):
        before, after = (one, two) if number % 2 == 0 else (two, one)
        # Both record, and for a while both have a worker.
        before.begin(ROUNDS, "stop", ROUNDS)
        after.do("start", ROUNDS)
        before.wait_until(ROUNDS, "stop", ROUNDS)
    # The deploy that stays; nobody waits for the delays of what is to be tried again.
    two.do("start")
    one.do("stop")
    Task.objects.filter(status=Task.STATUS_RETRY).update(run_after=Now())

    until(all_have_ended, "the end of all tasks")

    two.do("stop")
    assert outcomes() == {(Task.STATUS_COMPLETE, None)}
    assert keys() == one.keys + two.keys
    assert not Task.objects.filter(losses__gt=0).exists()


def test_what_a_newer_site_records_waits_for_its_worker(
    releases: tuple[Release, Release],
) -> None:
    one, two = releases
    old = one.start_worker()
    two.do(5)
    one.do(5)
    until(lambda: len(keys()) >= 5 * CALLS, "what the old site has recorded")
    old.wait_for_output("of release '2', which is newer, is left to others for 600 s")
    assert keys() == one.keys
    two.do("start")

    until(all_have_ended, "the end of all tasks")

    two.do("stop")
    assert outcomes() == {(Task.STATUS_COMPLETE, None)}
    assert keys() == one.keys + two.keys
    # Not one of them was tried by the wrong code.
    assert not Task.objects.filter(failures__gt=0).exists()


def test_check_deploy_names_what_a_rollback_would_not_fit(
    releases: tuple[Release, Release],
) -> None:
    one, two = releases
    two.do(2)
    fits, unfit = two.check(), one.check()

    assert fits.popen.wait(PATIENCE) == 0
    assert unfit.popen.wait(PATIENCE) == 1
    lines = [line.split() for line in unfit.output.splitlines()]
    named = {tuple(line[:2]) for line in lines if line and line[0].startswith("shop.")}
    assert named == {("shop.pack", "size"), ("shop.send_bill", "-")}
    assert "calls do not fit this code: shop.pack, shop.send_bill" in unfit.output
