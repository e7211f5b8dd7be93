"""The tasks that an operation finds: in order, each once, and by an index."""

from __future__ import annotations

from typing import Any

import plans
import pytest
import sample_tasks  # noqa: F401  (forced rows name them)
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import forced, forced_many

from cq.operations.filter import TaskFilter
from cq.operations.found import Found
from cq.operations.ranges import MOST_RANGES
from cq.operations.verbs import RETRY, REVOKE, VERBS
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)


def found(verb: Any = RETRY, newest: Any = None, **given: Any) -> Found:
    return Found("default", TaskFilter.of(given), verb, newest)


def test_pages_come_in_the_order_of_the_ids_whatever_the_status() -> None:
    made = []
    for _ in range(4):
        made += [forced(Status.FAILURE), forced(Status.LOST), forced(Status.COMPLETE)]
    forced_many(3, Status.QUEUED)
    ids = [task.pk for task in made]

    pages, last = [], None
    while page := found().after(last, 5):
        pages.append(page)
        last = page[-1]

    assert [len(page) for page in pages] == [5, 5, 2]
    assert [pk for page in pages for pk in page] == ids


def test_what_came_later_is_not_found() -> None:
    early = forced(Status.FAILURE)
    forced(Status.FAILURE)
    assert found(newest=early.pk).after(None, 10) == [early.pk]


def test_what_the_verb_leaves_is_not_found() -> None:
    parent = forced(Status.FAILURE)
    forced(Status.FAILURE, parent, counted=False)
    for name in ("cq.group", "cq.chain", "cq.operation"):
        forced(Status.FAILURE, name=name)
    assert found().after(None, 10) == [parent.pk]


def test_the_newest_come_first_when_they_are_asked_so() -> None:
    made = forced_many(4, Status.FAILURE)
    rows = found(status=["FAILURE"]).rows(("id", "name"), 2, newest_first=True)
    assert [str(row[0]).replace("-", "") for row in rows] == [
        task.pk.hex for task in reversed(made[-2:])
    ]


@pytest.mark.parametrize("count", [1, 3, MOST_RANGES + 1])
def test_names_are_found_however_many_there_are(count: int) -> None:
    names = [f"name {n}" for n in range(count)]
    made = [forced(Status.FAILURE, name=name) for name in names]
    forced(Status.FAILURE, name="another")
    ids = found(name=names, status=["FAILURE"]).after(None, 100)
    assert ids == [task.pk for task in made]


@pytest.mark.parametrize(
    "given",
    [{"name": []}, {"status": []}, {"status": ["QUEUED"]}, {"ids": []}, {"queue": []}],
)
def test_a_filter_that_nothing_passes_finds_nothing(given: dict[str, Any]) -> None:
    forced_many(2, Status.FAILURE)
    assert found(**given).after(None, 10) == []


@pytest.mark.backend("postgres", "sqlite")
@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("retry", {"ids": ["0199a5f000007000800000000000abcd"]}),
        ("retry", {"parent": "0199a5f000007000800000000000abcd"}),
        ("retry", {"root": "0199a5f000007000800000000000abcd"}),
        ("revoke", {"worker": [7]}),
        ("revoke", {"status": ["RUNNING"]}),
        ("revoke", {"status": ["WAITING"]}),
        ("revoke", {"status": ["QUEUED"], "queue": ["mail"]}),
        ("now", {"status": ["PENDING"]}),
    ],
)
def test_no_page_reads_the_whole_table(verb: str, given: dict[str, Any]) -> None:
    forced_many(2_000, Status.COMPLETE)
    plans.analyze("cq_tasks")
    with CaptureQueriesContext(connection) as seen:
        found(VERBS[verb], **given).after(None, 500)
    assert seen
    for query in seen.captured_queries:
        assert not plans.reads_all(plans.plan(query["sql"].replace("%", "%%")))


def test_one_page_is_one_statement() -> None:
    forced_many(3, Status.QUEUED)
    with CaptureQueriesContext(connection) as seen:
        assert len(found(REVOKE).after(None, 10)) == 3
    assert len(seen) == 1
