"""The lines that the address of a log asks for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.ids import read_id
from cq_admin.display.html import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

LONGEST_SEARCH = 200
#: As large as the columns are.
_MOST = 2**31 - 1
_MOST_LEVEL = 2**15 - 1


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The conditions of an address; what is None, or empty, is no condition."""

    #: Numbers of lines, of which one is where the page begins.
    after: int | None = None
    before: int | None = None
    #: And above.
    level: int | None = None
    q: str = ""
    #: The task that said it.
    of: UUID | None = None
    attempt: int | None = None

    @property
    def looks_through(self) -> bool:
        """Whether it asks for what no index has."""
        return bool(self.q) or self.level is not None or self.attempt is not None

    @property
    def is_plain(self) -> bool:
        """Whether it asks for all lines."""
        return not self.looks_through and self.of is None


def read(query: Mapping[str, Any]) -> Wanted:
    """Return what an address asks for; raises ValueError, with a sentence for people."""
    found = Wanted(
        after=_number(query, "after"),
        before=_number(query, "before"),
        level=_level(query.get("level", "").strip()),
        q=_text(query.get("q", "").strip()),
        of=_id(query.get("of", "").strip()),
        attempt=_number(query, "attempt"),
    )
    if found.after is not None and found.before is not None:
        raise ValueError(_("A page begins after a line, or ends before one: not both."))
    return found


def _number(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _wrong(name, text)
    return min(int(text), _MOST)


def _level(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return min(int(text), _MOST_LEVEL)
    level = logging.getLevelNamesMapping().get(text.upper())
    if level is None:
        raise _wrong("level", text)
    return level


def _text(text: str) -> str:
    if "\x00" in text:  # PostgreSQL takes none
        raise _wrong("q", text)
    return text[:LONGEST_SEARCH]


def _id(text: str) -> UUID | None:
    found = read_id(text)
    if text and found is None:
        raise _wrong("of", text)
    return found


def _wrong(name: str, text: str) -> ValueError:
    said = _("“%(value)s” is nothing that “%(name)s” may be.")
    return ValueError(said % {"value": visible(text[:100]), "name": name})
