"""The tasks of an export, some at a time, each by the id that the last one ended at.

Nothing is open between two of them: no cursor, no transaction. So they may be read over
different connections, as behind a pooler, and by whom takes their time to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import OperationalError

from cq.conf import conf
from cq.db.error_codes import is_cancelled
from cq_admin.display.time_limit import time_limit
from cq_admin.task_list.orders import Place
from cq_admin.task_list.windows import Found, Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from .asked import Asked

#: Tasks of one export, and those that are read at once.
MOST_TASKS = 100_000
AT_ONCE = 500
#: Seconds for all of it: servers such as gunicorn end a process that takes 30 for an
#: answer, and then nobody would be told where it ended.
PATIENCE = 20.0


class Walk:
    """One way through what is asked for. clock: seconds that pass."""

    #: The id behind which it goes on; None: the newest.
    behind: UUID | None
    #: What there was too much of, where it ended before its end: "tasks", "time" or
    #: "statement".
    cut = ""

    def __init__(
        self,
        asked: Asked,
        rows_of: Callable[[Found], list[Any]],
        clock: Callable[[], float],
    ) -> None:
        self._asked = asked
        self._rows_of = rows_of
        self._clock = clock
        self._end = clock() + PATIENCE
        self.behind = None if asked.place is None else asked.place.key[-1]

    def __iter__(self) -> Iterator[list[Any]]:
        room = MOST_TASKS
        while self._asked.source is not None:
            try:
                with time_limit():
                    found = self._look(min(AT_ONCE, room))
                    rows = self._rows_of(found)
            except OperationalError as error:
                if not is_cancelled(error):
                    raise
                self.cut = "statement"
                return
            yield rows
            room -= len(rows)
            behind = found.ids[-1] if found.more else found.reached
            if behind is None:
                return
            self.behind = behind
            if room <= 0 or self._clock() >= self._end:
                self.cut = "tasks" if room <= 0 else "time"
                return

    def _look(self, most: int) -> Found:
        source = self._asked.source
        assert source is not None
        look = Look(conf.DATABASE, source, self._asked.matcher, self._clock)
        place = None if self.behind is None else Place((self.behind,), onward=True)
        return look.page(place, most)
