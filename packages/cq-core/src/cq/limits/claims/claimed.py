"""What a claim from lanes asks for, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .turns import Names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from cq.limits.places import Place
    from cq.tables.rows import TaskRow


class Which(NamedTuple):
    """What is claimed: of which tasks and, of those, of no release of `not_of`."""

    names: Names = Names()
    not_of: Sequence[str] = ()


ALL = Which()


class Hold(NamedTuple):
    """What a claim holds of keys until its run has ended.

    rates: the keys of rates with the seconds of an interval, of which it has taken one.
    """

    places: Sequence[Place] = ()
    rates: Sequence[tuple[str, float]] = ()


class Claimed(NamedTuple):
    """What came of one claim.

    holds: by the id of each task. opens_in: seconds until the first of the keys that are shut by
    their rate opens; None: none is. opened: lanes. more: there may be more at once.
    """

    tasks: list[TaskRow]
    holds: dict[UUID, Hold]
    opens_in: float | None
    opened: int
    more: bool

    @property
    def places(self) -> list[Place]:
        """The places that they have taken."""
        return [place for hold in self.holds.values() for place in hold.places]
