"""The figures of a worker's runs: who writes them, and when."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from heard import PATIENCE

from cq import task
from cq.figures.counter import COMPLETE
from cq.figures.reading import Figures
from cq.figures.writer import writer
from cq.models import Depth, Figure
from cq.tables.figure_columns import NUMBERS
from cq_channels.worker.engine import Engine
from cq_channels.worker.in_flight import InFlight
from cq_channels.worker.maintenance import Maintenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

ran = threading.Semaphore(0)


@task
def tells(cqt: object) -> None:
    ran.release()


@task(atomic=False)
async def atells(cqt: object) -> None:
    ran.release()


@task
def raises(cqt: object) -> None:
    ran.release()
    raise ValueError("no")


@pytest.fixture(autouse=True)
def _counted_here_alone() -> Iterator[None]:
    writer.counter.reset()
    yield
    writer.counter.reset()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine("default", threads=2, scheduler=False)
    made.start()
    yield made
    made.stop(PATIENCE)


def stored() -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for name, *numbers in Figure.objects.values_list("name", *NUMBERS):
        last = name.rpartition(".")[2]
        before = found.get(last, Figures())
        of = Figures.of(numbers)
        found[last] = Figures(before.complete + of.complete, before.failed + of.failed)
    return found


def test_what_it_has_run_is_written_at_the_latest_when_it_stops(engine: Engine) -> None:
    for made in (tells, atells, raises):
        for _ in range(4):
            made.delay()
    for _ in range(12):
        assert ran.acquire(timeout=PATIENCE)

    engine.stop(PATIENCE)

    assert stored() == {
        "tells": Figures(complete=4),
        "atells": Figures(complete=4),
        "raises": Figures(failed=4),
    }
    assert not writer.counter


@pytest.fixture
def jobs() -> dict[str, Callable[[], float]]:
    maintenance = Maintenance("default", 11, InFlight(), False, print, pytest.fail)
    return maintenance._jobs.jobs


def test_its_maintenance_writes_and_no_thread_of_its_own(
    jobs: dict[str, Callable[[], float]],
) -> None:
    # On SQLite who writes may have to wait, and is not to hold up the other jobs.
    assert ("write the figures" in jobs) == (connection.vendor != "sqlite")
    if "write the figures" in jobs:
        writer.counter.ended(("default", 31_000_000, "one", "default"), COMPLETE)
        assert 8 <= jobs["write the figures"]() <= 10
        assert stored() == {"one": Figures(complete=1)}


def test_it_counts_the_queues_once_a_minute(
    jobs: dict[str, Callable[[], float]],
) -> None:
    tells.delay()
    assert 0 < jobs["count the queues"]() <= 65
    rows = Depth.objects.exclude(queue="").values_list("queue", "waiting", "slots")
    assert list(rows) == [("default", 1, 0)]


def test_who_runs_nothing_writes_no_figures(engine: Engine) -> None:
    engine.stop(PATIENCE)
    assert not Figure.objects.exists()
