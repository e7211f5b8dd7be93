"""What one worker leaves to others for now: newer releases, and names that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.conf import conf
from cq.workers.releases import NewerReleases

from .unknown_names import UnknownNames

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow


class LeftAlone:
    """The tasks that one worker leaves to others. For the thread that claims."""

    def __init__(self, using: str, worker: int) -> None:
        self._newer = NewerReleases(using, worker)
        self._unknown = UnknownNames(using)

    def names(self) -> list[str]:
        """Return the names of which nothing is to be claimed now."""
        return self._unknown.left_out()

    def releases(self) -> list[str]:
        """Return the releases of which nothing is to be claimed now."""
        return self._newer.left_out()

    def parted(
        self, found: list[TaskRow]
    ) -> tuple[list[TaskRow], list[TaskRow], list[TaskRow]]:
        """Part claimed tasks: what is run here, what is of newer releases, of unknown names.

        Of a newer release are also those whose name is not known: that says nothing yet.
        """
        compares = conf.RELEASE is not None
        names = {task.name for task in found}
        if not compares and not any(map(self._unknown.is_left_alone, names)):
            return found, [], []
        run: list[TaskRow] = []
        newer: list[TaskRow] = []
        unknown: list[TaskRow] = []
        for task in found:
            if compares and self._newer.has(task):
                newer.append(task)
            elif self._unknown.is_left_alone(task.name):
                unknown.append(task)
            else:
                run.append(task)
        return run, newer, unknown

    def leave_unknown(self, found: list[TaskRow]) -> list[TaskRow]:
        """Leave tasks of unknown names, as `UnknownNames.leave` does."""
        return self._unknown.leave(found)
