"""The columns of a serial run, under the names that a row has, and its place in a tree."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from cq import codec
from cq.definitions.options import Options
from cq.errors import RetryLater
from cq.hooks.facts import RunFacts
from cq.ids import uuid7
from cq.lifecycle import rules
from cq.progress.token import token_of
from cq.runs.failures import describe
from cq.status import FAILED, FINAL, Status

from .history import SerialHistory
from .log import SerialLog
from .sets import TASK_FIELDS, SerialManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from cq.definitions.signatures import Call
    from cq.runs.run import OnFailure


class SerialHandle(RunFacts, codec.Handle):
    """The columns and the outcome of a serial run.

    It runs as soon as nothing is before it: `run_after` and `expires` are there to be
    read, and wait for nothing.
    """

    created = True
    losses = 0
    #: No key is remembered behind the end of a serial run.
    kept_key = unique_for = None
    token = token_of

    def __init__(
        self,
        name: str,
        parent: SerialHandle | None,
        previous: Any,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        self.id: UUID = uuid7()
        self.pk = self.id
        self.name = name
        self.queue = options.queue
        self.priority = options.priority
        self.status: str = Status.PENDING
        self.submitted = timezone.now()
        self.run_after = _run_after(options, self.submitted)
        self.expires = _moment(options.expires, self.submitted)
        self.ready: datetime | None = None
        self.started: datetime | None = None
        self.finished: datetime | None = None
        self.parent = parent
        self.previous = previous
        self.counted = True
        self.open_children = 0
        self.outcome: str | None = None
        self.error: str | None = None
        self.exception: str | None = None
        self.traceback: str | None = None
        self.cause: UUID | None = None
        self.fence = 0
        self.attempts = 0
        self.failures = 0
        #: How often in a row it has raised RetryLater.
        self.put_off = 0
        self.progress_done: float | None = None
        self.progress_total: float | None = None
        self.progress_message = ""

        # What a row has in other tables, or its run in memory.
        #: The call of its function; None of a group and a chain, which have none.
        self.call: Call | None = None
        #: What `.using()` changed of what only the runner looks at, as a row has it.
        self.options: dict[str, Any] | None = None
        self.encoded = (codec.Encoded("[]"), codec.Encoded("{}"))
        self.stored: codec.Encoded | None = None
        #: What was given as arguments to be replaced by results, by number.
        self.upstream: list[Any] = []
        #: What it depends on, and how that has to settle.
        self.depends_on: list[tuple[Any, str]] = []
        #: Those that wait for it to settle.
        self.following: list[SerialHandle] = []
        self.children: list[SerialHandle] = []
        #: The task whose result becomes this one's; a group has those of its children.
        self.source: Any = None
        self.is_group = False
        #: In use of a top-level task only.
        self.kept_log = SerialLog()
        self.kept_history = SerialHistory()
        #: What was raised, here or below, first.
        self.raised: BaseException | None = None
        #: As a run's, see :class:`cq.runs.run.Run`.
        self.on_failure: dict[str, OnFailure] | None = None
        self.first_started: datetime | None = None
        #: By the monotonic clock: when the time of this attempt is over.
        self.deadline: float | None = None
        #: What this attempt has made, and whether it was itself undone with its maker.
        self.made: list[SerialHandle] = []
        self.undone = False
        #: The calls that take back what a durable one did, as it came to them.
        self.undos: list[Call] = []

    def __repr__(self) -> str:
        return f"<SerialTask {self.name} {self.id} {self.status}>"

    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    # --- arguments and result ---------------------------------------------------------

    @property
    def args(self) -> tuple[Any, ...]:
        """Its arguments, with the handles where tasks were given."""
        return self.decoded(self._handles)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its keyword arguments, with the handles where tasks were given."""
        return self.decoded(self._handles)[1]

    def decoded(self, places: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode the arguments, with what `places` gives where tasks were given."""
        return codec.decode_call(*self.encoded, places)

    def _handles(self, start: int, count: int) -> list[Any]:
        return self.upstream[start : start + count]

    @property
    def result(self) -> Any:
        """What it returned, decoded anew: who changes that changes his own copy."""
        if self.is_group:
            return [child.result for child in self.children if child.counted]
        if self.source is not None:
            return self.source.result
        return None if self.stored is None else codec.decode(self.stored)

    # --- its place in a tree ----------------------------------------------------------

    @property
    def root(self) -> SerialHandle:
        task = self
        while task.parent is not None:
            task = task.parent
        return task

    @property
    def depth(self) -> int:
        depth, task = 0, self
        while task.parent is not None:
            depth, task = depth + 1, task.parent
        return depth

    @property
    def root_id(self) -> UUID:
        return self.root.id

    @property
    def parent_id(self) -> UUID | None:
        return None if self.parent is None else self.parent.id

    @property
    def previous_id(self) -> UUID | None:
        return None if self.previous is None else self.previous.id

    @property
    def subtasks(self) -> SerialManager[SerialHandle]:
        """Its subtasks, the latest first as those of a row."""
        return SerialManager(
            lambda: sorted(self.children, key=lambda t: t.id.int, reverse=True),
            TASK_FIELDS,
        )

    def below(self) -> Iterator[SerialHandle]:
        """Yield all of its descendants that are counted."""
        open_ = [self]
        while open_:
            found = [child for child in open_.pop().children if child.counted]
            yield from found
            open_ += found

    def put_under(self, parent: SerialHandle) -> None:
        """Make it a subtask, which its parent waits for."""
        self.parent = parent
        parent.children.append(self)
        if self.status in FINAL:
            parent.child_settled(self, 0)
        else:
            parent.open_children += 1

    def child_settled(self, child: SerialHandle, count: int = 1) -> None:
        """Take note of a subtask's end: the first failure shows at once."""
        self.open_children -= count
        if child.status in FAILED:
            if self.error is None:
                self.failed_by(child, rules.subtask_reason(child))
                self.traceback = child.traceback
            self.outcome = self.outcome or Status.INCOMPLETE
            self.raised = self.raised or child.raised

    def failed_by(self, other: Any, reason: str) -> None:
        """Keep why it does not succeed because of another, and what that began with."""
        self.error, self.exception = reason, other.exception
        self.cause = other.cause or other.id

    # --- an attempt and its outcome ---------------------------------------------------

    def begin(self, timeout: float | None) -> None:
        """Begin an attempt."""
        self.first_started = self.first_started or self.started
        self.status, self.started = Status.RUNNING, timezone.now()
        if self.attempts or self.depends_on:
            # What had to settle before has kept it, and no queue.
            self.ready = self.started
        self.attempts += 1
        self.fence += 1
        if self.outcome is None:
            self.error = self.exception = self.traceback = self.cause = None
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.made = []

    def is_overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def fail(self, error: BaseException) -> None:
        """Keep what its function has raised."""
        failure = describe(error)
        self.kept_history.failed(self, failure)
        self.error, self.exception, self.traceback, self.cause = failure
        self.raised, self.outcome = error, Status.FAILURE
        self.failures += 1
        self.stored = self.source = None

    def try_again(self, error: BaseException) -> None:
        """Make the attempt that has ended so history; RetryLater is no failure."""
        is_later = isinstance(error, RetryLater)
        if not is_later:
            self.kept_history.failed(self, describe(error))
        self.failures += not is_later
        self.put_off = self.put_off + 1 if is_later else 0
        self.raised = self.outcome = self.stored = self.source = None
        self.open_children = 0
        for child in self.children:
            child.counted = False
            if child.status not in FINAL:
                child.settle(
                    Status.REVOKED,
                    "The attempt that made it failed and is tried again.",
                )

    def wait_for_children(self) -> None:
        """Stay open after the end of its function, until its last subtask settles."""
        self.status = Status.WAITING

    def settle(self, status: str, error: str | None = None) -> None:
        """Set the outcome, once, and bring forward what waits for it."""
        self.status, self.finished = status, timezone.now()
        self.error = error or self.error
        self.after_settled()

    def after_settled(self) -> None:
        """Bring forward what waits for it: with the workflow, on a higher rung."""
        raise NotImplementedError


for _status in Status:
    setattr(SerialHandle, f"STATUS_{_status.name}", _status)
SerialHandle.STATUS_SUCCESS = Status.COMPLETE  # type: ignore[attr-defined]


def _run_after(options: Options, now: datetime) -> datetime | None:
    delay = timedelta(seconds=options.delay) if options.delay else None
    found = [_moment(given, now) for given in (options.run_after, delay)]
    return max((moment for moment in found if moment is not None), default=None)


def _moment(given: datetime | timedelta | None, now: datetime) -> datetime | None:
    return now + given if isinstance(given, timedelta) else given
