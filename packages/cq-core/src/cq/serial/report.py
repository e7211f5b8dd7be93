"""The report of a serial run: its log, which gathers at the top, and its progress."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from cq.lifecycle import rules
from cq.logs.message import message_and_level
from cq.logs.progress import Progress, amounts, progress
from cq.logs.storage import format_numbered
from cq.status import FINAL

from .control import SerialControl
from .history import ATTEMPT_FIELDS
from .sets import SerialSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .handle import SerialHandle
    from .history import SerialAttempt
    from .log import SerialLine

T = TypeVar("T")

logger = logging.getLogger("cq.task")

#: What `logs.filter()` may look at.
FIELDS = frozenset(
    ("task_id", "number", "attempt", "level", "time", "message", "public")
)


class SerialReport(SerialControl):
    """What a serial run tells of itself."""

    def log(
        self,
        message: object,
        *args: Any,
        level: int = logging.INFO,
        publish: bool = True,
        limit: int | None = None,
        public: bool = False,
    ) -> None:
        """Log a line to ``cq.task``, and to the top-level task's log.

        args: are formatted into the message, as in logging; where it has no placeholder,
        an int is the level: ``log("text", logging.DEBUG)``.
        publish: of no effect; nobody else could read it meanwhile.
        limit: keep only the last so many lines of the log.
        public: of no effect; no page shows a serial run.
        """
        rules.check_limit(limit)
        self.check_claim()
        text, level = message_and_level(message, args, level)
        logger.log(level, "%s", text, extra={"task_id": str(self.id)})
        cap = self.call.options.log_limit if self.call else None
        log = self.root.kept_log
        log.add(self.id, self.attempts, level, text, limit, cap, public)

    def set_progress(
        self,
        done: float,
        total: float | None = None,
        message: str = "",
    ) -> None:
        """Say how far it is; a bar sums over the subtasks."""
        self.check_claim()
        said = progress(done, total, message)
        self.progress_done, self.progress_total = said.done, said.total
        self.progress_message = said.message

    def track(
        self,
        items: Iterable[T],
        total: float | None = None,
        message: str = "",
    ) -> Iterator[T]:
        """Yield the items, with the progress set after each."""
        return rules.track(self.set_progress, items, total, message)

    @property
    def progress(self) -> Progress:
        """How far it is, with its subtasks: each counts one, or its own total."""
        done, total = self.progress_done or 0.0, self.progress_total
        direct = (child for child in self.children if child.counted)
        below = list(self.below() if self.parent is None else direct)
        if below:
            done += sum(_done(task) for task in below)
            total = (total or 0.0) + sum(_total(task) for task in below)
        return amounts(done, total, self.progress_message)

    @property
    def logs(self) -> SerialSet[SerialLine]:
        """Its lines: with those from below of a top-level task, else its own."""
        lines = SerialSet(self.root.kept_log.lines, FIELDS)
        return lines if self.parent is None else lines.filter(task_id=self.id)

    @property
    def history(self) -> SerialSet[SerialAttempt]:
        """Its attempts that did not succeed, newest first: the first 5 and the last 45."""
        return SerialSet(reversed(self.kept_history.attempts), ATTEMPT_FIELDS)

    def format_logs(self) -> str:
        """Return the messages of its log, one a line."""
        lines = [(line.number, line.message) for line in self.logs]
        return format_numbered(lines, whole=self.parent is None)

    async def alog(self, message: object, *args: Any, **kwargs: Any) -> None:
        self.log(message, *args, **kwargs)

    async def aset_progress(self, *args: Any, **kwargs: Any) -> None:
        self.set_progress(*args, **kwargs)

    async def aformat_logs(self) -> str:
        return self.format_logs()


def _total(task: SerialHandle) -> float:
    return 1.0 if task.progress_total is None else task.progress_total


def _done(task: SerialHandle) -> float:
    return _total(task) if task.status in FINAL else task.progress_done or 0.0
