"""The steps of one run: what its function comes to, found or new, in any order."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cq import lifecycle
from cq.db.clock import database_now
from cq.errors import GiveUp
from cq.tables.durable.queries import steps
from cq.tables.durable.rows import LINES, StepRow
from cq.tracebacks import chain_of

from .kept import Kept, Place, read
from .writing import NOW, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cq.db.clock import Given
    from cq.runs.run import Run

#: Steps of a task, and characters of all their results: a rerun reads them all.
MOST_STEPS = 10_000
MOST_TEXT = 100_000_000


class Steps:
    """The steps of one run, which is that of a durable task, or one that is not atomic."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._read: dict[Place, Kept] | None = None
        self._numbers: defaultdict[str, int] = defaultdict(int)
        #: Characters of the results: of each, and of all together.
        self._sizes: dict[Place, int] = {}
        self._text = 0
        call = run.interrupter
        by_call = call.thread if call.awaits is None else 0
        self._thread = by_call or threading.get_ident()
        #: Of what is enqueued next, as it was given.
        self.key = ""
        #: Lines that the function has logged so far, and those an earlier run has said.
        self.lines = self._said = 0
        #: The steps that have raised, each with its error.
        self._raised: list[tuple[BaseException, Kept]] = []

    # --- what the function comes to ---------------------------------------------------

    @property
    def kept(self) -> dict[Place, Kept]:
        """The steps that are there, read once."""
        if self._read is None:
            # The first claim raises the fence to 1, and nobody has been before it.
            first = self.run.claim.fence == 1
            self._read = {} if first else read(self.run.using, self.run.task.id)
            for step in self._read.values():
                self._count(step)
                self._said = max(self._said, step.lines)
        return self._read

    @property
    def may_undo(self) -> bool:
        """Whether a bad end of the task may have something to take back."""
        if self._read is None:
            return self.run.claim.fence > 1
        return any(step.undo is not None for step in self.kept.values())

    def come_to(self, kind: str, name: str, key: str, digest: str) -> Kept:
        """Return the step that the function comes to now, as it is kept, or a new one.

        Raises StepMismatch for what was something else in an earlier run, TypeError within
        another step and on another thread, GiveUp for one too many.
        """
        self.check_place(name)
        number = 0
        if not key:
            self._numbers[name] += 1
            number = self._numbers[name]
        step = self.kept.get((name, key, number))
        if step is None:
            if len(self.kept) >= MOST_STEPS:
                raise GiveUp(
                    f"{self.run.task.name} {self.run.task.pk} comes to more than "
                    f"{MOST_STEPS:,} steps; begin again without them by cqt.continue_as_new(), "
                    "or use each()"
                )
            return Kept(kind, name, key, number, digest)
        if step.ended_run:
            step.begin_anew()
            step.kind, step.digest = kind, digest
        step.check(kind, digest)
        return step

    def check_place(self, name: str) -> None:
        """Raise TypeError where no step can be, and what ends a run where it has ended."""
        run = self.run
        self.check_alone(name)
        if threading.get_ident() != self._thread and not run.on_loop:
            raise TypeError(
                f"{name!r} is begun on another thread than the task's own. What comes "
                "first there differs from run to run: begin steps in the function, or "
                "start subtasks"
            )
        run.check()

    def check_alone(self, name: str) -> None:
        """Raise TypeError while another step is under way."""
        if self.run.step is not None:
            raise TypeError(
                f"{name!r} is begun within another step, or beside one that has not "
                "ended. Steps come one after the other: call the function itself, or "
                "begin it behind"
            )

    def present(self) -> datetime:
        """Return the present moment, by the database's clock."""
        return self.run.now or database_now(self.run.using)

    # --- what becomes of them ---------------------------------------------------------

    def write(
        self, step: Kept, *, began: float | None = None, finished: Given = None
    ) -> None:
        """Write a step in the open transaction, or by itself; raises LeaseLost."""
        self._check_text(step)
        step.lines = self.lines
        run = self.run
        if run.durable and run.task.losses:
            # Before its own row, for which the task's is locked to be read only.
            lifecycle.forget_losses(run.using, run.claim)
        write(run.using, run.claim, step, began=began, finished=finished)

    def _check_text(self, step: Kept) -> None:
        if self._text + self._growth(step) > MOST_TEXT:
            raise GiveUp(
                f"the results of {self.run.task.name} {self.run.task.pk} have more than "
                f"{MOST_TEXT // 1_000_000} MB; begin again without them by "
                "cqt.continue_as_new(), or have steps return ids"
            )

    def _growth(self, step: Kept) -> int:
        # That of `each` is written by each chunk, and only the last is kept.
        return len(step.result or "") - self._sizes.get(step.place, 0)

    def _count(self, step: Kept) -> None:
        self._text += self._growth(step)
        self._sizes[step.place] = len(step.result or "")

    def took(self, step: Kept) -> None:
        """Take note of a step that has been written."""
        self._count(step)
        self.kept[step.place] = step
        if self.run.durable:
            self.run.task.losses = 0

    def reread(self, step: Kept) -> None:
        """Learn the id of a step that was written open, for what is written of it next."""
        self.took(step)
        if step.id is None:
            row = steps(self.run.using).filter(
                task=self.run.task.id,
                name=step.name,
                key=step.key,
                number=step.number,
            )
            step.id = row.values_list("pk", flat=True).first()

    @contextmanager
    def keyed(self, key: str) -> Iterator[None]:
        """Give what is enqueued within the block a key."""
        self.key = key
        try:
            yield
        finally:
            self.key = ""

    def keep_lines(self) -> None:
        """Keep how much was logged, of a run that ends between two steps; raises LeaseLost."""
        if self.lines > max((step.lines for step in self.kept.values()), default=0):
            step = self.kept.get(LINES) or Kept(StepRow.VALUE, *LINES, digest="")
            self.write(step, finished=NOW)

    # --- what they have raised --------------------------------------------------------

    def raised(self, step: Kept, error: BaseException) -> None:
        """Take note of an error that goes to the function."""
        self._raised.append((error, step))

    def end_run(self, error: BaseException) -> None:
        """Have the next run call those steps again whose errors have ended this one.

        In the transaction that ends it.
        """
        if not self._raised:
            return
        chain = {id(one) for one in chain_of(error)}
        places = [step.place for raised, step in self._raised if id(raised) in chain]
        for name, key, number in places:
            steps(self.run.using).filter(
                task=self.run.task.id, name=name, key=key, number=number
            ).update(ended_run=True)

    # --- what is said -----------------------------------------------------------------

    def is_news(self) -> bool:
        """Tell whether the line that is logged now was not logged by an earlier run."""
        if self.run.step is not None:
            return True
        self.lines += 1
        if self._read is None:
            _ = self.kept  # which tells what was said
        return self.lines > self._said


def steps_of(run: Run) -> Steps:
    """Return the steps of a run, from the first that it comes to."""
    if run.steps is None:
        run.steps = Steps(run)
    found: Steps = run.steps
    return found
