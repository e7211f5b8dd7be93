"""The record of each task of an export: plain values, as the reader may see them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Left

from cq.display.redaction import Redaction
from cq.tables.queries import tags
from cq.text import cut_off
from cq_admin.task_list.cells import HEAVY_COLUMNS
from cq_admin.value_pages import stored_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from cq_admin.task_list.windows import Found

    Record = dict[str, Any]

_PLAIN = ("id", "name", "queue", "status", "priority", "attempts")
_TIMES = ("submitted", "ready", "started", "finished", "run_after")
_RELATIVES = ("parent", "root")
COLUMNS = (*_PLAIN, *_TIMES, *_RELATIVES, "tags", "exception", "error")
#: For who may see them.
VALUES = ("args", "kwargs", "result")
#: Characters of a value; one that has more is left out, for nobody can tell what is secret
#: in a part of it.
LONGEST_VALUE = 10_000
#: Characters of an error. More are fetched, so that `CQ_REDACT_TEXT` has what a cut would
#: divide.
LONGEST_ERROR, ERROR_FETCHED = 4_000, 5_000
#: Names of tasks whose redaction is kept.
MOST_NAMES = 1_000


class Records:
    """The records of one export.

    base: all tasks that there are for the reader. may_see: asked for each of them.
    sees_values: asked for each of them, and with None for any at all. url_of: where the
    values of a task are, by its id and which of them.
    """

    def __init__(
        self,
        base: QuerySet[Any, Any],
        may_see: Callable[[Any], bool],
        sees_values: Callable[[Any], bool],
        url_of: Callable[[UUID, str], str],
    ) -> None:
        self._base = base
        self._may_see = may_see
        self._sees_values = sees_values
        self._url_of = url_of
        self._redaction = lru_cache(MOST_NAMES)(Redaction)
        self._values = VALUES if sees_values(None) else ()
        self.columns = (*COLUMNS, *self._values)

    # --- rows -------------------------------------------------------------------------

    def rows_of(self, found: Found) -> list[Any]:
        """Return what was found as rows, in its order, with all that `record` needs."""
        if not found.ids:
            return []
        texts = {
            f"{name}_start": Left(name, LONGEST_VALUE + 1) for name in self._values
        }
        there = self._base.filter(pk__in=found.ids).order_by().defer(*HEAVY_COLUMNS)
        there = there.annotate(error_start=Left("error", ERROR_FETCHED), **texts)
        by_id = {row.pk: row for row in there}
        # Once each, whatever a project's own pages have joined.
        rows = [by_id[pk] for pk in dict.fromkeys(found.ids) if pk in by_id]
        rows = [row for row in rows if self._is_shown(row, found)]
        tagged = self._tags(rows)
        seen = self._seen(rows)
        for row in rows:
            row.shown_tags = tagged.get(row.pk, [])
            for name in _RELATIVES:
                pk = getattr(row, f"{name}_id")
                setattr(
                    row, f"shown_{name}", pk if seen is None or pk in seen else None
                )
        return rows

    def _is_shown(self, row: Any, found: Found) -> bool:
        row.sees_values = bool(self._values) and self._sees_values(row)
        # By what somebody may not see they find nothing either.
        by_values = row.pk in found.by_arguments
        return self._may_see(row) and (row.sees_values or not by_values)

    def _tags(self, rows: Iterable[Any]) -> dict[UUID, list[str]]:
        found: dict[UUID, list[str]] = {}
        of_these = tags(self._base.db).filter(task__in=[row.pk for row in rows])
        for pk, tag in of_these.values_list("task_id", "tag"):
            found.setdefault(pk, []).append(tag)
        return found

    def _seen(self, rows: Iterable[Any]) -> set[UUID] | None:
        """Return which relatives are there for the reader; None: all are."""
        if not self._base.query.where:
            return None
        named = {getattr(row, f"{name}_id") for row in rows for name in _RELATIVES}
        there = self._base.filter(pk__in=named - {None}).order_by()
        return set(there.values_list("pk", flat=True))

    # --- records ----------------------------------------------------------------------

    def record(self, row: Any) -> Record:
        """Return the record of a row, with a value for each of `columns`."""
        redaction = self._redaction(row.name)
        said = redaction.text(row.error_start) if row.error_start else row.error_start
        found: Record = {name: getattr(row, name) for name in (*_PLAIN, *_TIMES)}
        found |= {name: getattr(row, f"shown_{name}") for name in _RELATIVES}
        found["tags"] = sorted(row.shown_tags)
        found["exception"] = row.exception
        found["error"] = None if said is None else cut_off(said, LONGEST_ERROR)
        for name in self._values:
            shown = self._value(row, name, redaction) if row.sees_values else None
            found[name] = shown
        return found

    def _value(self, row: Any, name: str, redaction: Redaction) -> Any:
        stored = getattr(row, f"{name}_start")
        if stored is not None and len(stored) > LONGEST_VALUE:
            page = "result" if name == "result" else "args"
            url = self._url_of(row.pk, page)
            return f"[more than {LONGEST_VALUE:,} characters, which are at {url}]"
        return stored_value(stored, getattr(redaction, name))
