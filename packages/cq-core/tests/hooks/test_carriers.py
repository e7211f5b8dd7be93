"""The carriers that come with cq, each from a caller to its task."""

from __future__ import annotations

import contextvars
import sys
import types
from typing import Any

import pytest
from django.utils import timezone, translation
from driving import fresh, run

import cq.context
from cq import task
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

REQUEST: contextvars.ContextVar[Any] = contextvars.ContextVar("request_id")
TRACE: contextvars.ContextVar[Any] = contextvars.ContextVar("trace")
seen: list[Any] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    seen.clear()


@task
def tells(cqt: Any) -> None:
    seen.append(
        {
            "language": translation.get_language(),
            "timezone": timezone.get_current_timezone_name(),
            "request": REQUEST.get(None),
            "trace": TRACE.get(None),
            "user": cqt.context.get("user"),
        }
    )


@task
def asks_for_more(cqt: Any) -> None:
    cqt.subtask(tells)
    with translation.override("en"):
        cqt.subtask(tells)


def test_the_language_is_that_of_the_caller(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.language"]
    with translation.override("de"):
        handle = tells.delay()

    run(handle)

    assert handle.context == {"language": "de"}
    assert seen[0]["language"] == "de"
    assert translation.get_language() == "en-us"


def test_a_subtask_has_the_one_that_is_active_when_it_is_made(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.language"]
    with translation.override("de"):
        handle = asks_for_more.delay()

    run(handle)

    below = Task.objects.filter(parent=handle.pk).order_by("pk")
    assert [one.context["language"] for one in below] == ["de", "en"]


def test_the_time_zone_is_that_of_the_caller(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.timezone"]
    with timezone.override("Asia/Tokyo"):
        handle = tells.delay()

    run(handle)

    assert handle.context == {"timezone": "Asia/Tokyo"}
    assert seen[0]["timezone"] == "Asia/Tokyo"


def test_variables_of_the_project_are_carried_by_name(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("carriers_of_a_project")
    module.request = cq.context.contextvars("request", REQUEST, TRACE)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.CQ_CONTEXT = ["carriers_of_a_project.request"]
    token = REQUEST.set("r-7")
    try:
        handle = tells.delay()
    finally:
        REQUEST.reset(token)

    run(handle)

    assert handle.context == {"request": {"request_id": "r-7"}}
    assert (seen[0]["request"], seen[0]["trace"]) == ("r-7", None)
    assert REQUEST.get(None) is None


def test_two_variables_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="have one name"):
        cq.context.contextvars("request", REQUEST, REQUEST)


class Somebody:
    def __init__(self, pk: Any) -> None:
        self.pk = pk


def test_who_acts_is_carried_and_inherited(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.user"]
    with cq.context.user.acting(Somebody(7)):
        handle = asks_for_more.delay()
    nobody = tells.delay()

    run(handle)

    below = Task.objects.filter(parent=handle.pk)
    assert [one.context for one in below] == [{"user": 7}] * 2
    assert nobody.context == {}
    with cq.context.user.acting(None):
        assert tells.delay().context == {}


def test_who_retries_a_task_acts_in_it_from_then_on(settings: Any) -> None:
    settings.CQ_CONTEXT = ["cq.context.user", "cq.context.language"]
    with cq.context.user.acting(Somebody(7)), translation.override("de"):
        handle = tells.using(timeout=9).delay()
    run(handle)

    fresh(handle).retry()
    assert fresh(handle).context == {"user": 7, "language": "de"}
    run(handle)
    with cq.context.user.acting(Somebody(8)), translation.override("fr"):
        fresh(handle).retry()

    assert fresh(handle).options == {
        "timeout": 9,
        "context": {"user": 8, "language": "de"},
    }


@pytest.mark.parametrize(
    ("carrier", "value"),
    [
        ("language", "../../../tmp/evil"),
        ("language", "os.system"),
        ("language", 7),
        ("timezone", "../../etc/passwd"),
        ("timezone", ["UTC"]),
    ],
)
def test_a_forged_value_fails_the_task(carrier: str, value: Any, settings: Any) -> None:
    settings.CQ_CONTEXT = [f"cq.context.{carrier}"]
    handle = tells.delay()
    Task.objects.update(options={"context": {carrier: value}})

    ended = run(handle)

    assert ended.status == Status.FAILURE
    assert ended.exception in ("ValueError", "zoneinfo._common.ZoneInfoNotFoundError")
    assert seen == []
