"""The charts of a name, over a range that the address chooses; as those of the overview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.figures.comparing import by_slots
from cq.figures.marks import marks_in
from cq_admin.figures import pictures, ranges

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import QueryDict


def charts(using: str, name: str, query: QueryDict, now: datetime) -> dict[str, Any]:
    """Return what the template shows, by two statements.

    "cq_error": what is wrong with the address, where something is.
    """
    error = ""
    try:
        chosen = ranges.read(query, now)
    except ValueError as problem:
        chosen, error = ranges.hour(now), str(problem)
    own, compared = by_slots(using, chosen.span, chosen.compared, name=name)
    marks = marks_in(using, chosen.span)
    return {
        "cq_error": error,
        "cq_charts": list(pictures.charts(chosen, own, compared, marks, now)),
        "cq_lengths": list(ranges.lengths(query, chosen)),
        "cq_comparisons": list(ranges.comparisons(query, chosen)),
        "cq_words": {"range": _("Range"), "compare": _("Compared with")},
    }
