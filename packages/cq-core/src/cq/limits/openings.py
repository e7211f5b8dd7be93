"""The openings that one claimer owes: lanes that are held, though their keys may have room.

Who gives a place back, or has held a lane, has them opened after its commit. Should that
fail, it is not forgotten, and no claim is lost for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import Error

from .holding import Served, free_again, open_lanes
from .offers import Offers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .overrides import Overrides

logger = logging.getLogger("cq.worker")


class Openings:
    """What one claimer has to open. For its thread."""

    def __init__(self, using: str, overrides: Overrides) -> None:
        self.using = using
        self._overrides = overrides
        #: By key: how many may start.
        self._rooms: dict[str, int] = {}
        #: Keys that were found full, with their concurrency.
        self._full: dict[str, int] = {}
        #: Keys that were found shut, with the names of their limits.
        self._named: dict[str, str] = {}
        self.offers = Offers(using)

    @property
    def pending(self) -> bool:
        """Whether there is something to be opened, or to be looked at."""
        return bool(self._rooms or self._full or self._named)

    def owe(self, rooms: Mapping[str, int]) -> None:
        """Note keys that let so many start."""
        for key, room in rooms.items():
            self._rooms[key] = max(room, self._rooms.get(key, 0))

    def held(self, full: Mapping[str, int], named: Mapping[str, str]) -> None:
        """Note the keys by which lanes were held, which may have room by now.

        full: their concurrency. named: the limits by which they were found shut.
        """
        self._full.update(full)
        self._named.update(named)

    def settle(self, served: Served) -> int:
        """Open what is to be opened, after the commit of what led to it; how many lanes."""
        # Owed first: asked again, they have not changed any more.
        self.owe(self._set_anew())
        self.owe(self.offers.over())
        rooms = {**self._rooms, **free_again(self.using, self._full)}
        for key in self.offers.make(rooms, served):
            # Until that is over it is owed by the offer.
            del rooms[key]
            self._rooms.pop(key, None)
        opened = open_lanes(self.using, rooms, served)
        self.offers.opened(rooms, served)
        self._rooms, self._full, self._named = {}, {}, {}
        return opened

    def settle_or_keep(self, served: Served) -> int:
        """As `settle`; where that fails it is kept for the next time."""
        try:
            return self.settle(served)
        except Error as error:
            logger.warning("lanes could not be opened, and are tried again: %s", error)
            return 0

    def _set_anew(self) -> dict[str, int]:
        """Return the keys that were found shut by what was set of their limits before."""
        changed = self._overrides.changed() if self._named else ()
        return {key: 1 for key, name in self._named.items() if name in changed}
