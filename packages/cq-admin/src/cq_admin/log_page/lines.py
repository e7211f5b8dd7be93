"""Lines of a log as they are shown: redacted, escaped, with their colours and gaps."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cq.display.redaction import Redaction
from cq.text import cut_off
from cq_admin.display.ansi import coloured, plain
from cq_admin.display.html import recent, visible

from .reading import LONGEST_LINE_SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from django.utils.safestring import SafeString

    from .reading import Stored

#: As in `live.js`, which adds lines to those that are here.
_TONES = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)


class Line(NamedTuple):
    """A line as it is shown."""

    number: int
    #: Of the task that said it.
    attempt: int
    time: SafeString
    level: str
    #: The class of its level in the page.
    tone: str
    message: SafeString
    #: The subtask that said it; empty where it was this one.
    source: SafeString | str
    #: Lines between the one before and this that are gone.
    gap: int = 0


class Writer:
    """What makes lines out of what is stored.

    names: of the tasks that said them. own: the task whose log it is. link: gives a link to
    the page of another.
    """

    def __init__(
        self,
        own: UUID,
        names: Mapping[UUID, str],
        now: datetime,
        link: Callable[[UUID, str], SafeString],
    ) -> None:
        self.own = own
        self.names = names
        self.now = now
        self.link = link
        self._redaction = cache(Redaction)

    def text(self, line: Stored) -> str:
        """Return the message as it may be shown."""
        name = self.names.get(line.task, self.names.get(self.own, ""))
        return self._redaction(name).text(line.text)

    def says(self, line: Stored, word: str) -> bool:
        """Tell whether a word is in what is shown of a line."""
        return word.casefold() in plain(self.text(line)).casefold()

    def lines(self, found: Iterable[Stored], last: int | None = None) -> list[Line]:
        """Return lines as they are shown; last: the number before the first, None: no gaps."""
        shown = []
        for line in found:
            gap = 0 if last is None else max(0, line.number - last - 1)
            shown.append(self._line(line, gap))
            last = None if last is None else line.number
        return shown

    def _line(self, line: Stored, gap: int) -> Line:
        other = line.task != self.own and line.task in self.names
        return Line(
            line.number,
            line.attempt,
            recent(line.time, self.now, precise=True),
            logging.getLevelName(line.level),
            _tone(line.level),
            coloured(cut_off(self.text(line), LONGEST_LINE_SHOWN)),
            self.link(line.task, self.names[line.task]) if other else "",
            gap,
        )

    def as_text(self, line: Stored) -> str:
        """Return a line as plain text has it."""
        when = line.time.isoformat(sep=" ", timespec="milliseconds")
        level = logging.getLevelName(line.level)
        source = ""
        if line.task != self.own and line.task in self.names:
            source = f"[{self.names[line.task]}] "
        message = visible(plain(self.text(line)))
        return f"{when}  {level:<8}  {visible(source)}{message}\n"


def _tone(level: int) -> str:
    """Return the word for a level that also those have which are between two others."""
    return next((word for least, word in _TONES if level >= least), "debug")
