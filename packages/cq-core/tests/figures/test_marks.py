"""Marks in the charts: made by a program or the command, read by span, and pruned."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from forced import NOW

import cq
from cq.figures import marks as module
from cq.figures.folding import prune_marks
from cq.figures.marks import marks_in
from cq.figures.steps import Span
from cq.models import Mark

pytestmark = pytest.mark.django_db(transaction=True)

DAY = Span.last(timedelta(days=1), NOW)


def test_a_mark_is_in_the_spans_that_have_its_moment() -> None:
    for hours, text in ((0, "v3"), (2, "v2 \U0001f680"), (30, "v1")):
        cq.mark(f" {text} ", now=NOW - timedelta(hours=hours))
    assert [(m.time, m.text) for m in marks_in("default", DAY)] == [
        (NOW - timedelta(hours=2), "v2 \U0001f680"),
        (NOW, "v3"),
    ]
    assert len(marks_in("default", Span.last(timedelta(days=7), NOW))) == 3


def test_of_very_many_the_newest_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MARKS", 3)
    for minutes in range(6):
        cq.mark(f"{minutes}", now=NOW - timedelta(minutes=minutes))
    assert [mark.text for mark in marks_in("default", DAY)] == ["2", "1", "0"]


@pytest.mark.parametrize("text", ["", "  ", "x" * 101, "nul \0", "half \ud83d"])
def test_what_is_no_text_to_mark_with_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a text of 1 to 100 characters"):
        cq.mark(text)
    assert not Mark.objects.exists()


def test_what_is_no_text_at_all_is_refused() -> None:
    with pytest.raises(TypeError, match="a mark is a text, not 42"):
        cq.mark(42)  # type: ignore[arg-type]


def test_the_command_marks_this_moment() -> None:
    out = StringIO()
    call_command("cq", "mark", "v42", stdout=out)
    assert out.getvalue() == "marked: v42\n"
    assert Mark.objects.get().text == "v42"
    with pytest.raises(CommandError, match="must be a text of 1 to 100"):
        call_command("cq", "mark", "x" * 101)


def test_one_of_a_transaction_that_is_undone_is_none() -> None:
    with transaction.atomic():
        cq.mark("v1")
        transaction.set_rollback(True)
    assert not Mark.objects.exists()


def test_those_of_more_than_400_days_go() -> None:
    for days in (399, 401, 500):
        cq.mark(f"{days}", now=NOW - timedelta(days=days))
    assert prune_marks("default", NOW) == 2
    assert [mark.text for mark in Mark.objects.all()] == ["399"]
    assert prune_marks("default", NOW) == 0
