"""What a worker leaves to others while a deploy is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cq import Status, task
from cq.definitions import registry
from cq.models import Task
from cq.workers.claim_order import claim_next
from cq.workers.lease import Lease
from cq_channels.worker.left_alone import LeftAlone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cq.tables.rows import TaskRow

    Parts = tuple[list[TaskRow], list[TaskRow], list[TaskRow]]

pytestmark = pytest.mark.django_db(transaction=True)


@task("left_alone.known")
def known(cqt: Any) -> None: ...


@pytest.fixture
def worker(settings: Any) -> Iterator[int]:
    """A worker of release 1."""
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 600
    settings.CQ_RELEASE = "1"
    lease = Lease("default", "worker")
    lease.register()
    yield lease.worker
    lease.close()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[..., Task]:
    """Record a call of a task of another release, or of no release."""

    def record(name: str, release: str | None) -> Task:
        settings.CQ_RELEASE = release
        handle = known.delay()
        Task.objects.filter(pk=handle.pk).update(name=name)
        settings.CQ_RELEASE = "1"
        return handle

    return record


def parted(left_alone: LeftAlone, worker: int) -> Parts:
    names, releases = left_alone.names(), left_alone.releases()
    found = claim_next("default", worker, 50, without=names, not_of=releases)
    return left_alone.parted(found)


def test_an_unknown_name_of_a_newer_release_is_not_written_about(
    worker: int, recorded: Callable[..., Task]
) -> None:
    new = recorded("left_alone.new", "2")
    gone = recorded("left_alone.gone", None)
    mine = recorded("left_alone.known", "1")
    left_alone = LeftAlone("default", worker)

    assert parted(left_alone, worker) == ([mine], [new], [gone])

    assert left_alone.leave_unknown([]) == []
    assert left_alone.names() == []
    assert left_alone.releases() == ["2"]


def test_once_its_time_is_over_the_name_has_the_whole_grace(
    worker: int, recorded: Callable[..., Task], settings: Any
) -> None:
    new = recorded("left_alone.new", "2")
    left_alone = LeftAlone("default", worker)
    # As it is when the worker meets it after the time of the release.
    left_alone._newer._until["2"] = 0.0

    run, newer, unknown = parted(left_alone, worker)
    assert (run, newer, unknown) == ([], [], [new])
    assert left_alone.leave_unknown(unknown) == []

    new.refresh_from_db()
    assert (new.status, new.failures) == (Status.RETRY, 1)
    assert left_alone.names() == ["left_alone.new"]


def test_without_a_release_only_names_are_left_alone(
    worker: int, recorded: Callable[..., Task], settings: Any
) -> None:
    of_another = recorded("left_alone.known", "2")
    gone = recorded("left_alone.gone", "2")
    settings.CQ_RELEASE = None
    left_alone = LeftAlone("default", worker)

    assert parted(left_alone, worker) == ([of_another], [], [gone])
    assert left_alone.releases() == []
    assert "left_alone.gone" not in registry.names()
