"""The handles of many calls, which are waited for together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, TypeVar, cast, overload

from asgiref.sync import sync_to_async

from cq.db.statements import BATCH
from cq.execution import inline
from cq.status import FINAL, OPEN
from cq.tables import hydration
from cq.tables.queries import tasks

from .verbs import TaskVerbs

if TYPE_CHECKING:
    from cq.enqueue.bulk import Recorded

T = TypeVar("T", bound=TaskVerbs)


class Handles(Sequence[T]):
    """The tasks of ``delay_many``.

    Each is made when it is first looked at, and is that same object from then on: a
    hundred thousand that nobody looks at cost no more than their rows.
    """

    def __init__(
        self,
        recorded: Recorded,
        places: range | None = None,
        made: dict[int, T] | None = None,
    ) -> None:
        self._recorded = recorded
        #: Which of the recorded calls these are; a slice has fewer of them.
        self._places = range(len(recorded)) if places is None else places
        #: By place; shared with slices.
        self._made: dict[int, T] = {} if made is None else made
        #: Whether all have been waited for: what is made from then on is read.
        self._settled = False

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Handles[T]: ...
    def __getitem__(self, index: int | slice) -> T | Handles[T]:
        places = self._places[index]
        if isinstance(places, range):
            part = Handles(self._recorded, places, self._made)
            part._settled = self._settled
            return part
        if places not in self._made:
            made = cast("T", self._recorded[places])
            self._made[places] = self._read(made)
        return self._made[places]

    def __repr__(self) -> str:
        return f"<{len(self)} tasks>"

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until all have settled, whatever their outcomes; refresh and return them.

        timeout: seconds, for all of them. Raises WaitTimeout, or WaitError when it could
        never end.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (index := self._last_open()) is not None:
            left = None if end is None else max(0.0, end - time.monotonic())
            self[index].wait(left)
        self._settled = True
        self._refresh()
        return self

    async def await_(self, timeout: float | None = None) -> Self:
        """As `wait`, from a coroutine, which may look at none of them for the first time.

        So all are made: a hundred thousand take a hundred MiB.
        """
        await sync_to_async(self.wait)(timeout)
        return await sync_to_async(self.looked_at)()

    def looked_at(self) -> Self:
        """Make all of them now, for who may not ask the database later; returns them."""
        for _ in self:
            pass
        return self

    def _read(self, made: T) -> T:
        if self._settled and made.status not in FINAL:
            hydration.read_again(made)
        return inline.up_to_date(made)

    def _last_open(self) -> int | None:
        """Return the last that has not settled: those before it have most likely then."""
        ids = self._recorded.ids()
        rows = tasks(self._recorded.using).filter(status__in=sorted(OPEN))
        for end in range(len(self), 0, -BATCH):
            start = max(0, end - BATCH)
            part = [ids[place] for place in self._places[start:end]]
            open_ = set(rows.filter(pk__in=part).values_list("pk", flat=True))
            for index in reversed(range(start, end)):
                if part[index - start] in open_:
                    return index
        return None

    def _refresh(self) -> None:
        """Read those again that somebody has looked at."""
        stale = [t for t in self._made.values() if t.status not in FINAL]
        for start in range(0, len(stale), BATCH):
            part = stale[start : start + BATCH]
            found = tasks(self._recorded.using).in_bulk([task.pk for task in part])
            for task in part:
                if task.pk in found:
                    task.become(found[task.pk])
