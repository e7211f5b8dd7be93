"""A task is a newcomer, or its lane has a row: whoever changes it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from meanwhile import Before

from cq import lifecycle, task
from cq.definitions.lanes import lane_of
from cq.limits import newcomers
from cq.limits.newcomers import admit
from cq.models import Lane, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

pytestmark = pytest.mark.django_db

DB = "default"


@task("newcomers.fair", fair="{tenant}")
def fair(cqt: Any, tenant: str) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def another_call(made: Task) -> None:
    """As a further call with `debounce` replaces it."""
    other = fair.delay("other")
    kept, lane = Task.objects.values_list("options", "lane").get(pk=other.pk)
    Task.objects.filter(pk=other.pk).delete()
    Task.objects.filter(pk=made.pk).update(options=kept, lane=lane, listed=None)


def another_priority(made: Task) -> None:
    lifecycle.prioritize(DB, [made.pk], 7)


def another_queue(made: Task) -> None:
    lifecycle.move(DB, [made.pk], "other")


def of_lanes() -> set[tuple[str, int, UUID]]:
    return set(Lane.objects.values_list("queue", "priority", "lane"))


@pytest.mark.parametrize("change", [another_call, another_priority, another_queue])
#: The first one asks what the lanes are.
@pytest.mark.parametrize("before", ["SELECT id, lane, name", "INSERT INTO cq_lanes"])
def test_what_is_changed_while_its_lane_is_made_is_not_lost(
    change: Callable[[Task], None], before: str
) -> None:
    made = fair.delay("acme")
    changing = Before((before,), lambda: change(made))

    with connection.execute_wrapper(changing):
        admit(DB)
    assert changing.done
    while admit(DB):
        pass

    found = Task.objects.get(pk=made.pk)
    assert found.listed
    assert (found.queue, found.priority, found.lane) in of_lanes()
    # And no lane has the limits, or the turn, of another.
    for name, kept, lane in Lane.objects.values_list("name", "options", "lane"):
        assert lane_of(name, kept) == lane


def test_newcomers_of_very_many_lanes_are_admitted_from_any_of_them_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(newcomers, "MOST_LANES", 3)
    monkeypatch.setattr(newcomers, "MOST_LANES_STEPWISE", 3)
    fair.delay_many([(str(n),) for n in range(8)])
    # As the database has them in order.
    lanes = list(Task.objects.order_by("lane").values_list("lane", flat=True))

    def has_row() -> list[UUID]:
        return list(Lane.objects.order_by("lane").values_list("lane", flat=True))

    # From the sixth on there are three; then one, and the first two.
    assert admit(DB, lanes[5])
    assert has_row() == lanes[5:]
    assert admit(DB, lanes[4])
    assert has_row() == [*lanes[:2], *lanes[4:]]
    assert not admit(DB, lanes[7])
    assert has_row() == lanes


def test_two_workers_admit_beside_each_other_and_begin_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(newcomers, "MOST_LANES", 2)
    monkeypatch.setattr(newcomers, "MOST_LANES_STEPWISE", 2)
    fair.delay_many([(str(n),) for n in range(200)])
    lanes = list(Task.objects.order_by("lane").values_list("lane", flat=True))
    first = set()
    for _ in range(10):
        admit(DB)
        first |= set(Lane.objects.values_list("lane", flat=True))
    # The first twenty by order would be found again and again, by all.
    assert first != set(lanes[:20])
