"""The state of a task as it is now, as JSON for pages: by polling and by a socket alike."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from cq.display.redaction import Redaction
from cq.logs.progress import amounts, seconds_left
from cq.status import OPEN, Status
from cq.text import cut_off

from .lines import HIGHEST, read_lines
from .reading import read_row

if TYPE_CHECKING:
    from uuid import UUID

    from .lines import Narrow
    from .reading import Below

#: Bytes of the whole, as JSON.
LONGEST_MESSAGE = 64 * 1024
#: Characters of an error, and of what a progress says.
LONGEST_ERROR = 1_000
LONGEST_PROGRESS = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """A task as it was read just now, with the sums of what is below it."""

    using: str
    row: Any
    below: Below
    #: Milliseconds since 1970: of two readings, also of two servers, the newer has more.
    seq: int

    @property
    def last_line(self) -> int:
        """The number of lines said in its tree: no line has a higher one."""
        return int(self.row.lines_said or 0)

    @property
    def root(self) -> UUID:
        """What it is to be told of: its tree."""
        root: UUID = self.row.root_id
        return root

    @property
    def is_open(self) -> bool:
        return self.row.status in OPEN

    def etag(self, after: int | None = None, *, log: bool = False) -> str:
        """Return a quoted text that is another one as soon as the state is another one.

        Told without reading the log.
        """
        row = self.row
        said = (self.last_line, after) if log else None
        columns = (
            row.pk.hex,
            row.status,
            row.fence,
            row.attempts,
            row.progress_done,
            row.progress_total,
            row.progress_message,
            row.exception,
            row.short_error,
        )
        text = repr((*columns, self.below, said))
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def state(
        self,
        after: int | None = None,
        *,
        log: bool = False,
        narrow: Narrow | None = None,
    ) -> dict[str, Any]:
        """Return what a page is told; with `log` one statement more, for the lines.

        after: the number of the last line that is known; the next ones follow, at most
        200 and 64 KiB, and `more` says that there are others behind them. None: the last
        lines, and `more` says that there are others before them. log: whether lines may be
        seen at all. narrow: takes the query of lines, and leaves out what may not.
        """
        state = self._whole()
        if log and self.last_line > min(after or 0, HIGHEST):
            lines = read_lines(
                self.using,
                self.row.pk,
                is_root=self.row.root_id == self.row.pk,
                after=after,
                room=LONGEST_MESSAGE - len(json.dumps(state)),
                narrow=narrow,
            )
            state |= {"log": lines.rows, "more": lines.more}
        return state

    def _whole(self) -> dict[str, Any]:
        row, below = self.row, self.below
        redaction = Redaction(row.name)
        return {
            "of": str(row.pk),
            "seq": self.seq,
            "status": row.status,
            "progress": self._progress(redaction),
            "tries": row.attempts,
            "error": _error(row, redaction),
            "children": {"ok": below.ok, "failed": below.failed, "open": below.open},
            "log": [],
            "more": False,
        }

    def _progress(self, redaction: Redaction) -> dict[str, Any]:
        row, below = self.row, self.below
        done, total = row.progress_done or 0.0, row.progress_total
        if below.tasks:
            done, total = done + below.done, (total or 0.0) + below.total
        found = amounts(done, total, row.progress_message)
        return {
            "done": found.done,
            "total": found.total,
            "message": cut_off(redaction.text(found.message), LONGEST_PROGRESS),
            "left": self._seconds_left(done, total),
        }

    def _seconds_left(self, done: float, total: float | None) -> float | None:
        if self.row.status not in (Status.RUNNING, Status.WAITING):
            return None
        return seconds_left(done, total, self.row.started, timezone.now())


def _error(row: Any, redaction: Redaction) -> str | None:
    """Return its last line, behind the name of the exception."""
    if row.short_error is None and row.exception is None:
        return None
    kind = (row.exception or "").rpartition(".")[2]
    lines = redaction.text(row.short_error or "").strip().split("\n")
    line = cut_off(lines[-1].strip(), LONGEST_ERROR)
    return f"{kind}: {line}" if kind and line else kind or line


def read(using: str, task_id: UUID) -> Reading | None:
    """Read a task as it is now, in one statement; None where there is none."""
    found = read_row(using, task_id)
    if found is None:
        return None
    return Reading(using, *found, int(time.time() * 1000))
