"""Marks: moments that charts show, such as a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cq.conf import conf
from cq.db.clock import Moment
from cq.tables.figure_columns import LONGEST_MARK
from cq.tables.queries import marks
from cq.text import unstorable

from .steps import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from .steps import Span

#: Marks of a chart: the newest.
MOST_MARKS = 100


class Mark(NamedTuple):
    """A moment that charts show, and what happened then."""

    time: datetime
    text: str


def mark(text: str, now: datetime | None = None) -> None:
    """Mark this moment in the charts, as that of a deploy: ``cq.mark("v42")``.

    text: 1 to 100 characters. Raises TypeError and ValueError where it is not. In a
    transaction it is written with that.
    """
    if not isinstance(text, str):
        raise TypeError(f"a mark is a text, not {text!r}")
    text = text.strip()
    if not text or len(text) > LONGEST_MARK or unstorable(text):
        raise ValueError(
            f"the mark is {text!r}, but must be a text of 1 to {LONGEST_MARK} "
            "characters that every database stores"
        )
    marks(conf.DATABASE).create(time=Moment(now), text=text)


def marks_in(using: str, span: Span) -> list[Mark]:
    """Return the marks within a span, the oldest first; of very many the newest."""
    found = marks(using).filter(
        time__gte=moment_of(span.since), time__lt=moment_of(span.until)
    )
    newest = found.order_by("-time", "-pk").values_list("time", "text")[:MOST_MARKS]
    return [Mark(*row) for row in newest][::-1]
