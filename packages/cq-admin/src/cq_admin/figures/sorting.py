"""Tables in an order that their address says: ``tasks=-failed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .ranges import with_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.http import QueryDict

#: Rows of a table until somebody wants all.
MOST_SHOWN = 50


class Column(NamedTuple):
    """One column: its word in an address, its head, what is shown and what is compared.

    first: whether the most comes first, where nobody has said.
    """

    word: str
    label: Any
    shown: Callable[[Any], Any]
    key: Callable[[Any], Any]
    first: bool = True


class Head(NamedTuple):
    """The head of a column, with the link that puts the table in its order."""

    label: Any
    query: str
    #: "ascending", "descending", or "" where the order is another's.
    order: str


class Table(NamedTuple):
    """A table as it is shown. rest: how many rows are left out, and the link to them."""

    heads: list[Head]
    rows: list[list[Any]]
    rest: int
    all: str


def table(
    query: QueryDict,
    name: str,
    columns: Sequence[Column],
    found: Iterable[Any],
    usual: str,
) -> Table:
    """Put rows in the order that an address has for this table, or in the usual one.

    What has no value is last in any order.
    """
    words = {column.word: column for column in columns}
    text = query.get(name, usual)
    if text.removeprefix("-") not in words:
        text = usual
    column, falls = words[text.removeprefix("-")], text.startswith("-")
    given = [(column.key(row), row) for row in found]
    known = [pair for pair in given if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=falls)
    rows = [row for _key, row in known] + [row for key, row in given if key is None]
    shown = rows if query.get("rows") == "all" else rows[:MOST_SHOWN]
    return Table(
        [_head(query, name, one, column, falls) for one in columns],
        [[one.shown(row) for one in columns] for row in shown],
        len(rows) - len(shown),
        with_(query, rows="all"),
    )


def _head(
    query: QueryDict, name: str, column: Column, current: Column, falls: bool
) -> Head:
    is_current = column is current
    falls_next = not falls if is_current else column.first
    text = f"-{column.word}" if falls_next else column.word
    order = ("descending" if falls else "ascending") if is_current else ""
    return Head(column.label, with_(query, **{name: text}), order)
