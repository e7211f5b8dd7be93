"""The two forms of an export: NDJSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from cq_admin.display.html import visible

from .records import VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What a program that shows tables takes for the beginning of a formula, its wide forms
#: too. Also behind what may end a cell there: where numbers have a comma, cells are
#: divided by semicolons, and quotes around one are none any more.
_FORMULA = re.compile(r"(?:\A|(?<=[;\t\n]))(?= *[=+\-@\t\uff1d\uff0b\uff0d\uff20])")
#: Columns of a table whose cells are JSON.
_IN_JSON = frozenset(("tags", *VALUES))


class NDJSON:
    """A line of JSON for each task, in ASCII."""

    kind = "ndjson"
    content_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[str]) -> None:
        pass  # each line names its own

    def head(self) -> str:
        """Return what comes before all tasks."""
        return ""

    def lines(self, records: Iterable[dict[str, Any]]) -> str:
        """Return some tasks."""
        return "".join(f"{_json(record)}\n" for record in records)

    def cut(self, said: str, url: str) -> str:
        """Return what comes behind all, where those were not all there are."""
        return f"{_json({'cut': said, 'next': url})}\n"


class CSV:
    """A table whose first row names the columns."""

    kind = "csv"
    content_type = "text/csv; charset=utf-8"

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def head(self) -> str:
        """Return what comes before all tasks."""
        return _rows([self.columns])

    def lines(self, records: Iterable[dict[str, Any]]) -> str:
        """Return some tasks."""
        return _rows([_cell(c, record[c]) for c in self.columns] for record in records)

    def cut(self, said: str, url: str) -> str:
        """Return what comes behind all, where those were not all there are."""
        # As wide as the others, or a strict reader would refuse all of them.
        rest = [""] * (len(self.columns) - 1)
        return _rows([[_as_text(f"{said} {url}"), *rest]])


FORMS: dict[str, type[CSV] | type[NDJSON]] = {form.kind: form for form in (CSV, NDJSON)}


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(column: str, value: Any) -> str | int:
    if value is None or value == []:
        return ""
    if column in _IN_JSON:
        return _as_text(_json(value, ascii_only=False))
    if isinstance(value, str):
        return _as_text(value)
    # A number is one with its sign, too; ids and moments are cq's own.
    return value if isinstance(value, int) else _plain(value)


def _as_text(text: str) -> str:
    """Return text as a cell that no program takes for a formula."""
    shown = _FORMULA.sub("'", visible(text))
    # JSON may have half a surrogate pair, which is no UTF-8.
    return shown.encode("utf-8", "backslashreplace").decode()


def _json(value: Any, *, ascii_only: bool = True) -> str:
    return json.dumps(
        value, default=_plain, ensure_ascii=ascii_only, separators=(",", ":")
    )


def _plain(value: Any) -> str:
    """Return what JSON has no word for as text; a moment in UTC."""
    if not isinstance(value, datetime):
        return str(value)
    return (value.astimezone(UTC) if timezone.is_aware(value) else value).isoformat()
