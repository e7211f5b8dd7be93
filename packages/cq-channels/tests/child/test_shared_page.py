"""The shared page: what the supervisor and a child read of each other."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from cq_channels.child import shared_page as shared_pages
from cq_channels.child.shared_page import SharedPage

if TYPE_CHECKING:
    import pytest


def other_end(page: SharedPage) -> SharedPage:
    return SharedPage(os.dup(page.fd))


def test_the_other_side_reads_what_has_begun_and_not_ended(page: SharedPage) -> None:
    other = other_end(page)
    first, second = uuid.uuid4(), uuid.uuid4()
    place = other.begin(first)
    other.begin(second)
    assert page.started() == {first, second}
    assert place is not None
    other.end(place)
    assert page.started() == {second}
    other.close()


def test_row_28_the_other_side_reads_whether_any_task_has_ended(
    page: SharedPage,
) -> None:
    other = other_end(page)
    place = other.begin(uuid.uuid4())
    assert place is not None
    assert not page.take_worked()
    other.end(place)
    assert page.take_worked()
    assert not page.take_worked()
    other.close()


def test_row_28_the_other_side_reads_whether_a_process_is_missing(
    page: SharedPage,
) -> None:
    other = other_end(page)
    assert not other.complete
    page.complete = True
    assert other.complete
    page.complete = False
    assert not other.complete
    other.close()


def test_the_other_side_reads_the_moment_of_the_heartbeat(page: SharedPage) -> None:
    other = other_end(page)
    assert other.last_heartbeat == 0.0
    page.last_heartbeat = 1234.5
    assert other.last_heartbeat == 1234.5
    other.close()


def test_more_tasks_than_there_are_places_are_not_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        shared_pages, "_SIZE", shared_pages._FIRST + 2 * shared_pages._PLACE.size
    )
    small = SharedPage.create()
    places = [small.begin(uuid.uuid4()) for _ in range(3)]
    assert places[2] is None
    assert small.started() is None
    small.close()


def test_the_other_side_reads_whose_time_is_over(page: SharedPage) -> None:
    other = other_end(page)
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    places = [other.begin(task_id) for task_id in (first, second, third)]
    assert None not in places
    other.limit(places[0] or 0, 100.0)
    other.limit(places[1] or 0, 200.0)
    assert page.overdue(50.0) == set()
    assert page.overdue(150.0) == {first}
    other.limit(places[0] or 0, 0.0)
    assert page.overdue(1000.0) == {second}
    other.end(places[1] or 0)
    assert page.overdue(1000.0) == set()
    assert page.started() == {first, third}
    other.close()
