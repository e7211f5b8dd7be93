"""The state that end users see: what is in it, and what never is."""

from __future__ import annotations

import json
import logging
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import driving
import pytest
from django.contrib.auth.models import Group
from django.utils import translation

from cq import task
from cq.live.state import read
from cq.models import Task, TaskLog
from cq.progress.public import public_state
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "sesame-4711"


class Colour(Enum):
    RED = "r"


class OutOfStock(Exception):
    """One whose text is for users."""

    public = True


class Nearly(Exception):
    public = "yes"


KINDS: dict[str, type[BaseException]] = {
    "ours": ValueError,
    "public": OutOfStock,
    "nearly": Nearly,
}


@task("progress.raises")
def raises(cqt: Any, kind: str, text: str) -> None:
    raise KINDS[kind](text)


@task("progress.has_below")
def has_below(cqt: Any, kind: str) -> None:
    cqt.subtask(raises, kind, "sold out")


@task("progress.says")
def says(cqt: Any, api_token: str) -> dict[str, str]:
    cqt.log("for us")
    cqt.log("for you", public=True)
    cqt.log("a detail", logging.DEBUG, public=True)
    cqt.subtask(says_below)
    return {"password": SECRET, "number": "12"}


@task("progress.says_below")
def says_below(cqt: Any) -> None:
    cqt.log("from below", public=True)
    cqt.log("a warning", level=logging.WARNING, public=True)


@task("progress.gives")
def gives(cqt: Any, what: str) -> Any:
    return VALUES[what]()


VALUES: dict[str, Any] = {
    "plain": lambda: {"a": [1, None, "x"]},
    "tuple": lambda: (1, (2,)),
    "pairs": lambda: {1: "a", "$": 2},
    "set": lambda: {4},
    "date": lambda: [date(2027, 1, 31), timedelta(minutes=1), Decimal("1.50")],
    "enum": lambda: Colour.RED,
    "model": lambda: Group.objects.create(pk=7, name="x"),
}
PLAIN: dict[str, Any] = {
    "plain": {"a": [1, None, "x"]},
    "tuple": [1, [2]],
    "pairs": {"1": "a", "$": 2},
    "set": [4],
    "date": ["2027-01-31", 60.0, "1.50"],
    "enum": "RED",
    "model": 7,
}


def state_of(handle: Task, **options: Any) -> dict[str, Any]:
    reading = read("default", handle.pk)
    assert reading is not None
    return public_state(reading, **options)


def ran(handle: Task) -> Task:
    driving.run_all()
    return driving.fresh(handle)


def test_it_says_how_far_a_task_is() -> None:
    handle = says.delay("x")
    found = state_of(handle)
    assert found.pop("seq") > 0
    assert found == {
        "v": 1,
        "of": str(handle.pk),
        "status": "QUEUED",
        "done": False,
        "ok": False,
        "progress": {
            "done": 0,
            "total": None,
            "message": "",
            "left": None,
            "fraction": None,
        },
        "error": None,
        "text": "waiting",
        "amount": "",
    }
    driving.claim(handle)
    Task.objects.filter(pk=handle.pk).update(
        progress_done=35, progress_total=100, progress_message="converting"
    )
    found = state_of(handle)
    assert (found["status"], found["done"], found["text"]) == (
        "RUNNING",
        False,
        "converting",
    )
    assert found["progress"]["fraction"] == 0.35
    assert found["amount"] == "35 of 100"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("ours", "It did not work"),
        ("nearly", "It did not work"),
        ("public", "sold out"),
    ],
)
def test_an_error_is_told_where_its_class_is_public(kind: str, told: str) -> None:
    own, above = raises.delay(kind, "sold out"), has_below.delay(kind)
    driving.run_all()
    for handle, status in ((own, "FAILURE"), (above, "INCOMPLETE")):
        found = state_of(handle)
        assert (found["status"], found["done"], found["ok"]) == (status, True, False)
        assert (found["error"], found["text"]) == (told, told)
        assert found["progress"]["fraction"] is not None


def test_what_is_tried_again_has_no_error_yet() -> None:
    handle = driving.run(raises.using(retries=1).delay("public", "sold out"))
    found = state_of(handle)
    assert (found["status"], found["error"], found["text"]) == (
        "RETRY",
        None,
        "waiting",
    )


def test_a_row_that_names_what_is_no_exception_imports_nothing() -> None:
    handle = ran(raises.delay("ours", SECRET))
    for path in ("antigravity.fly", "cq", ".", "x" * 200, "progress_urls.page"):
        Task.objects.filter(pk=handle.pk).update(exception=path)
        assert state_of(handle)["error"] == "It did not work"


def test_what_was_cancelled_says_so_and_not_by_whom() -> None:
    handle = says.delay("x")
    handle.revoke(f"by {SECRET}")
    found = state_of(handle)
    assert (found["status"], found["error"]) == ("REVOKED", "It was cancelled")


def test_lines_are_those_said_for_users_from_info_on() -> None:
    handle = ran(says.delay(SECRET))
    assert "log" not in state_of(handle)
    found = state_of(handle, log=True)
    assert [(line["n"], line["level"], line["text"]) for line in found["log"]] == [
        (2, 20, "for you"),
        (4, 20, "from below"),
        (5, 30, "a warning"),
    ]
    assert {frozenset(line) for line in found["log"]} == {
        frozenset(("n", "t", "level", "text"))
    }
    after = state_of(handle, log=True, after=4)
    assert [line["text"] for line in after["log"]] == ["a warning"]
    below = handle.subtasks.get()
    said = [line["text"] for line in state_of(below, log=True)["log"]]
    assert said == ["from below", "a warning"]


def test_a_line_is_for_users_only_where_it_says_so() -> None:
    handle = ran(says.delay("x"))
    said = TaskLog.objects.filter(root=handle.pk).values_list("message", "public")
    assert dict(said) == {
        "for us": False,
        "for you": True,
        "a detail": True,
        "from below": True,
        "a warning": True,
    }


def test_the_result_is_shown_where_it_may_be_and_its_secrets_never() -> None:
    handle = ran(says.delay(SECRET))
    assert "result" not in state_of(handle)
    found = state_of(handle, result=True)
    assert found["result"] == {"password": "********", "number": "12"}
    everything = json.dumps(state_of(handle, result=True, log=True))
    assert SECRET not in everything
    assert "progress.says" not in everything


@pytest.mark.parametrize("what", VALUES)
def test_a_result_is_plain_json(what: str) -> None:
    handle = ran(gives.delay(what))
    assert handle.status == Status.COMPLETE
    found = state_of(handle, result=True)
    assert found["result"] == PLAIN[what]
    json.dumps(found, allow_nan=False)


def test_a_result_that_cannot_be_read_any_more_is_none() -> None:
    handle = ran(gives.delay("model"))
    Group.objects.all().delete()
    assert state_of(handle, result=True)["result"] is None


def test_no_result_before_it_has_worked() -> None:
    handle = raises.delay("ours", "x")
    assert state_of(handle, result=True)["result"] is None
    assert state_of(ran(handle), result=True)["result"] is None


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Es hat nicht geklappt"),
        ("fr", "Cela n\u2019a pas fonctionné"),
        ("es", "No ha funcionado"),
    ],
)
def test_it_speaks_the_readers_language(language: str, text: str) -> None:
    handle = ran(raises.delay("ours", "x"))
    with translation.override(language):
        assert state_of(handle)["text"] == text
