"""What a serial run knows of itself and tells: status, result, log and progress."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.utils import timezone

from .codec import Handle
from .errors import TaskFailed, WaitError
from .failures import describe
from .ids import uuid7
from .logs import Line
from .progress import Progress, progress
from .status import FINAL, SUCCEEDED, Status
from .text import LONGEST_LINE, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID


T = TypeVar("T")

task_logger = logging.getLogger("cq.task")
logger = logging.getLogger("cq.serial")


class SerialHandle(Handle):
    """All of a serial run but what it starts: :class:`cq.serial.SerialTask`."""

    created = True

    def __init__(self, name: str, parent: SerialHandle | None, previous: Any) -> None:
        self.id: UUID = uuid7()
        self.pk = self.id
        self.name = name
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.status: str = Status.RUNNING
        self.result: Any = None
        self.error: str | None = None
        self.exception: str | None = None
        self.traceback: str | None = None
        self.parent = parent
        self.root: SerialHandle = parent.root if parent else self
        self.depth: int = parent.depth + 1 if parent else 0
        self.previous = previous
        self.subtasks: list[SerialHandle] = []
        self.attempts = 0
        self.losses = 0
        self.fence = 0
        self.submitted = self.started = timezone.now()
        self.finished: Any = None
        self.lines: list[Line] = []
        self._progress = Progress(0.0, None)
        #: What was raised, here or below, first.
        self.raised: BaseException | None = None
        #: Chained to it while it was running.
        self.following: list[Callable[[], SerialHandle]] = []

    def __repr__(self) -> str:
        return f"<SerialTask {self.name} {self.status}>"

    # --- waiting ----------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Self:
        if self.status not in FINAL:
            raise WaitError(f"{self.name} is running in this very thread")
        return self

    async def await_(self, timeout: float | None = None) -> Self:
        return self.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        if self.wait(timeout).status not in SUCCEEDED:
            raise TaskFailed(self)
        return self.result

    async def aget(self, timeout: float | None = None) -> Any:
        return self.get(timeout)

    @property
    def done(self) -> bool:
        return self.status in FINAL

    def revoke(self, reason: str = "") -> bool:
        return False  # it has run by the time that anybody holds it

    # --- inside the function ----------------------------------------------------------

    def log(
        self,
        message: object,
        level: int = logging.INFO,
        *,
        publish: bool = True,
        limit: int | None = None,
    ) -> None:
        text = storable(str(message), LONGEST_LINE)
        task_logger.log(level, "%s", text, extra={"task_id": str(self.id)})
        lines = self.root.lines
        lines.append(Line(level, timezone.now(), text))
        if limit is not None:
            del lines[: max(0, len(lines) - limit)]

    def set_progress(
        self, done: float, total: float | None = None, message: str = ""
    ) -> None:
        self._progress = progress(done, total, message)

    def track(
        self, items: Iterable[T], total: float | None = None, message: str = ""
    ) -> Iterator[T]:
        if total is None and hasattr(items, "__len__"):
            total = len(items)  # type: ignore[arg-type]
        self.set_progress(0, total, message)
        for number, item in enumerate(items, 1):
            yield item
            self.set_progress(number, total, message)

    def check(self) -> None:
        """Nobody can revoke a serial run."""

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def logs(self) -> list[Line]:
        return self.lines

    def format_logs(self) -> str:
        return "\n".join(line.message for line in self.lines)

    async def alog(self, message: object, *args: Any, **kwargs: Any) -> None:
        self.log(message, *args, **kwargs)

    async def aset_progress(self, *args: Any, **kwargs: Any) -> None:
        self.set_progress(*args, **kwargs)

    # --- outcome ----------------------------------------------------------------------

    def settle(self, status: str, error: str | None = None) -> None:
        self.status, self.finished = status, timezone.now()
        if error is not None:
            self.error = self.error or error
        following, self.following = self.following, []
        for step in following:
            step()

    def fail(self, error: BaseException) -> None:
        self.error, self.exception, self.traceback = describe(error)
        self.raised = error
        self.result = None
