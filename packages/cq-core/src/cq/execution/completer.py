"""The protocol of what a runner may leave to be done for many runs together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cq.codec import Encoded
    from cq.lifecycle import Claim


class Completer(Protocol):
    """A doer of what is left when the functions have returned, soon and on another thread."""

    def add(self, claim: Claim, result: Encoded) -> None:
        """Settle a run that needs no transaction of its own."""

    def settled(self, claim: Claim) -> None:
        """Bring forward what waits for a run that has settled."""
