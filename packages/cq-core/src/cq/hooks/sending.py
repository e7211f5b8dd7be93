"""The sending of calls: what a carrier has open from where they are made to their commit.

A carrier may have a third function, ``sending(value, task)``. It is asked where calls are
recorded, and nowhere else: a schedule keeps what `capture` gives, and is no call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from .carriers import carriers
from .context import checked, context_of
from .hearing import hearing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .context import Context

logger = logging.getLogger("cq.context")


class Sending(Protocol):
    """What a carrier's ``sending`` returns: it stands for calls that are made together."""

    #: What their rows keep in the place of what was captured; a JSON value, or None.
    value: Any

    def recorded(self, tasks: Sequence[Any]) -> None:
        """Hear which of them were committed; of a call that is undone it never hears."""


class Sendings:
    """The sendings of one plan: one a carrier, and more where the captured values differ."""

    def __init__(self, carriers: dict[str, Any]) -> None:
        self._carriers = carriers
        self._begun: list[tuple[str, Sending]] = []
        #: What was asked for last, which is mostly what is asked for again.
        self._last: tuple[Context | None, Context | None] | None = None

    def stored(self, context: Context | None, task: Any) -> Context | None:
        """Return a context as a row keeps it; `task` is the first call that it is for.

        Raises TypeError as `captured` does.
        """
        if self._last is not None and self._last[0] == context:
            return self._last[1]
        kept = {} if context is None else context.copy()
        for name, carrier in self._carriers.items():
            sending: Sending | None = carrier.sending(kept.get(name), task)
            if sending is None:
                continue
            self._begun.append((name, sending))
            if sending.value is not None:
                kept[name] = sending.value
        stored = checked(kept) if kept else None
        self._last = context, stored
        return stored

    def recorded(self, tasks: Sequence[Any]) -> None:
        """Tell each sending of its tasks, which are committed; what it raises is logged."""
        for name, sending in self._begun:
            mine = [
                task
                for task in tasks
                if context_of(task.options).get(name) == sending.value
            ]
            if not mine:
                continue
            try:
                with hearing():
                    sending.recorded(mine)
            except Exception:
                # The calls are there, and have to be rung for.
                logger.exception("the carrier %r could not end its sending", name)


def sendings() -> Sendings | None:
    """Return the sendings of a new plan; None where no carrier wants to know."""
    found = carriers()
    if not found:
        return None
    mine = {name: one for name, one in found.items() if hasattr(one, "sending")}
    return Sendings(mine) if mine else None
