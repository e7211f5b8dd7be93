"""The verb by which a run says that the other side wants to be left alone."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections

from cq.errors import seconds_from
from cq.limits.closing import close, keys_of

if TYPE_CHECKING:
    from datetime import timedelta

    from cq.runs.run import Run

logger = logging.getLogger("cq.limits")


class BacksOff:
    """``cqt.back_off()`` of a run."""

    _run: Any

    @property
    def _using(self) -> str:
        raise NotImplementedError

    def back_off(self, seconds: float | timedelta, limit: str | None = None) -> None:
        """Let nothing start under a limit for so long; what runs goes on.

        The other side has said "429, Retry-After: 30": call it, and raise RetryLater(30) to
        be tried again then. A rollback does not undo it.

        seconds: a number, or a timedelta. limit: a named limit, or a key as it was
        computed; None: all limits of this task.

        Raises TypeError and ValueError for what is neither, and ValueError where this task
        has no limit and none is given.
        """
        wait = seconds_from("back_off", seconds)
        keys = keys_of(self, limit)  # type: ignore[arg-type]
        run: Run | None = self._run
        if run is None:
            close(self._using, keys, wait)
        elif not run.log.beside or not _close_beside(run.using, keys, wait):
            run.back_offs = [*(run.back_offs or ()), (keys, wait)]

    async def aback_off(
        self, seconds: float | timedelta, limit: str | None = None
    ) -> None:
        """As `back_off`, for a coroutine."""
        await sync_to_async(self.back_off)(seconds, limit)


def _close_beside(using: str, keys: dict[str, str], seconds: float) -> bool:
    """Close keys by a connection of its own, which commits; whether it could."""
    failed: list[Exception] = []

    def write() -> None:
        try:
            close(using, keys, seconds)
        except Exception as error:
            failed.append(error)
        finally:
            connections[using].close()

    thread = threading.Thread(target=write, name="cq-back-off")
    thread.start()
    thread.join()
    for error in failed:
        logger.warning(
            "could not back off at once, but when the run has ended: %s", error
        )
    return not failed
