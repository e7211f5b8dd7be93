"""What a row of the list says of its task, so that it need not be opened."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.utils import timezone

from cq import task
from cq.models import Edge, Task
from cq.status import Status
from cq_admin.task_list import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@task("cells.charge", redact=("card",), retries=2)
def charge(cqt: Any, order_id: int, currency: str, card: str = "") -> None: ...


def cells_of(client: Client, query: str = "") -> list[cells.Cells]:
    page = client.get(f"{URL}?{query}")
    assert page.status_code == 200
    return [row.cells for row in page.context["cl"].result_list]


def one(client: Client) -> cells.Cells:
    [found] = cells_of(client)
    return found


# Its name and arguments ---------------------------------------------------------------


def test_a_name_stands_with_its_first_arguments(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(name="cells.charge", args='[4711,"eur"]', kwargs='{"card":"4111"}', queue="pay")
    name = one(staff).name
    assert "cells.<wbr>charge" in name
    assert "(order_id=4711, currency=&#x27;eur&#x27;, card=********)" in name
    assert ">pay</bdi>" in name


def test_arguments_are_cut(staff: Client, row: Callable[..., Task]) -> None:
    row(name="cells.charge", args=json.dumps(["x" * 100_000, "eur"]))
    assert "(order_id=...)" in one(staff).name
    Task.objects.all().delete()
    row(name="cells.charge", args=json.dumps(["x" * 100, "eur"]))
    shown = one(staff).name.partition("(")[2].partition(")")[0]
    assert len(shown.replace("&#x27;", "'")) <= cells.LONGEST_CALL


def test_who_may_not_see_arguments_sees_the_name(
    login: Callable[..., Client], row: Callable[..., Task], queries: Any
) -> None:
    row(name="cells.charge", args='["no 4711","eur"]')
    client = login("view_task")
    assert "no 4711" not in client.get(URL).content.decode()
    assert not [sql for sql in queries(lambda: cells_of(client)) if "kwargs" in sql]


def test_arguments_are_asked_for_by_task(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    row(name="cells.charge", args='["mine"]', queue="mine")
    row(name="cells.charge", args='["theirs"]', queue="theirs")

    def may(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.queue == "mine"

    pages = type(admin.site._registry[Task])
    monkeypatch.setattr(pages, "has_view_args_permission", may)
    text = staff.get(URL).content.decode()
    assert "&#x27;mine&#x27;" in text
    assert "&#x27;theirs&#x27;" not in text
    # Nor is it found by what is not shown.
    assert len(cells_of(staff, "q=mine")) == 1
    assert cells_of(staff, "q=theirs") == []


# Why ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            {"exception": "shop.errors.GatewayTimeout", "error": "\nno answer\nat all"},
            "GatewayTimeout: no answer",
        ),
        ({"error": "drained"}, "drained"),
        ({"exception": "builtins.KeyError", "error": ""}, "KeyError"),
        ({"error": "x" * 5_000}, "x" * 117 + "..."),
        ({"error": "<b>"}, "&lt;b&gt;"),
        ({}, "-"),
    ],
)
def test_a_failure_says_its_exception_and_the_first_line_of_its_error(
    staff: Client, row: Callable[..., Task], columns: dict[str, Any], why: str
) -> None:
    row(Status.FAILURE, **columns)
    found = one(staff).why
    assert found.replace("</span></div>", "").rpartition('auto">')[2] == why


def drop_digits(task_name: str, text: str) -> str:
    return "".join("#" if c.isdigit() else c for c in text)


def test_an_error_passes_the_projects_function(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.drop_digits"
    row(Status.FAILURE, error="card 4111")
    assert "card ####" in one(staff).why


def test_a_retry_says_when_it_comes(staff: Client, row: Callable[..., Task]) -> None:
    again = timezone.now() + timedelta(minutes=10)
    row(Status.RETRY, name="cells.charge", run_after=again, error="no answer")
    why = one(staff).why
    assert "again at" in why
    assert again.isoformat() in why
    assert "no answer" in why


def test_what_is_incomplete_names_what_failed(
    staff: Client, row: Callable[..., Task]
) -> None:
    began = row(Status.FAILURE, name="shop.step")
    row(Status.INCOMPLETE, name="shop.parent", cause=began.pk)
    row(Status.INCOMPLETE, name="shop.other", cause=Task().pk)
    other, parent, _began = cells_of(staff)
    assert f'href="{URL}{began.pk}/change/">because of shop.step' in parent.why
    assert other.why == "-"


def test_what_is_pending_says_what_it_waits_for(
    staff: Client, row: Callable[..., Task]
) -> None:
    later = timezone.now() + timedelta(hours=3)
    first, second = (
        row(Status.RUNNING, name="a.first", worker_id=1),
        row(name="a.second"),
    )
    waits = row(Status.PENDING, name="cells.charge")
    Edge.objects.create(task=waits, depends_on=first, when="complete")
    Edge.objects.create(task=waits, depends_on=second, when="complete", met=True)
    row(Status.PENDING, name="cells.charge", run_after=later)
    timed, chained, *_others = cells_of(staff)
    assert "not before" in timed.why
    assert later.isoformat() in timed.why
    assert f'href="{URL}{first.pk}/change/">waits for a.first' in chained.why


def test_what_is_suspended_says_what_wakes_it(
    staff: Client, row: Callable[..., Task]
) -> None:
    later = timezone.now() + timedelta(days=3)
    child = row(Status.RUNNING, name="a.child", worker_id=1)
    row(Status.SUSPENDED, name="cells.charge")
    gathers = row(Status.SUSPENDED, name="cells.charge")
    Edge.objects.create(task=gathers, depends_on=child, when="results")
    row(Status.SUSPENDED, name="cells.charge", run_after=later)

    sleeps, gathering, waits, *_others = cells_of(staff)

    assert "wakes at" in sleeps.why
    assert later.isoformat() in sleeps.why
    assert f'href="{URL}{child.pk}/change/">waits for a.child' in gathering.why
    assert "waits for an event" in waits.why


def test_what_runs_says_how_far_it_is(staff: Client, row: Callable[..., Task]) -> None:
    progress = {"progress_done": 40, "progress_total": 100, "progress_message": "rows"}
    row(Status.RUNNING, worker_id=1, started=timezone.now(), **progress)
    why = one(staff).why
    assert '<progress value="40.0" max="100.0">' in why
    assert "40 / 100 rows" in why


# Numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "tries"),
    [
        ({"name": "cells.charge", "attempts": 0}, "-"),
        ({"name": "cells.charge", "attempts": 3}, "3 of 3"),
        ({"name": "cells.charge", "attempts": 1, "options": {"retries": 4}}, "1 of 5"),
        ({"name": "cells.charge", "attempts": 1, "options": {"retries": 0}}, "1"),
        ({"name": "cells.charge", "attempts": 5}, "5"),  # by hand
        ({"name": "nobody.knows", "attempts": 1}, "1"),
    ],
)
def test_tries_are_told_with_how_many_there_may_be(
    staff: Client, row: Callable[..., Task], columns: dict[str, Any], tries: str
) -> None:
    row(Status.FAILURE, **columns)
    assert one(staff).tries == tries


def test_times(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    row(
        Status.COMPLETE,
        submitted=now - timedelta(minutes=10),
        first_started=now - timedelta(minutes=9),
        ready=now - timedelta(minutes=4),
        started=now - timedelta(minutes=3),
        finished=now - timedelta(minutes=1),
    )
    row(Status.QUEUED, submitted=now - timedelta(hours=2))
    row(Status.PENDING, submitted=now - timedelta(hours=2))
    pending, queued, done = cells_of(staff)
    assert (done.waited, done.took) == ("1\xa0min", "2\xa0min")
    assert (now - timedelta(minutes=1)).isoformat() in done.when
    assert (queued.waited, queued.took) == ("2\xa0h", "-")
    assert (now - timedelta(hours=2)).isoformat() in queued.when
    assert (pending.waited, pending.took) == ("-", "-")


def test_the_zone_of_the_times_is_named(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    row()
    assert staff.get(URL).content.decode().count("Times are in Europe/Paris.") == 1
