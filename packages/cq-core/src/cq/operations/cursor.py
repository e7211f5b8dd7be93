"""How far an operation is: a part of its row, written with the changes of each batch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cq.errors import LeaseLost
from cq.lifecycle.guards import held_by
from cq.text import brief

if TYPE_CHECKING:
    from cq.lifecycle import Claim

    from .operation import Operation

#: The key that it has among what a row keeps for its runner.
KEY = "operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far an operation is; a row has none before its first batch."""

    #: The last task that was looked at.
    after: UUID | None = None
    #: Revoked tasks below which there may be open ones.
    below: tuple[UUID, ...] = ()
    #: Tasks that were looked at; of those, what was changed, and what would not.
    looked: int = 0
    changed: int = 0
    refused: int = 0
    #: What was revoked below those.
    also: int = 0
    done: bool = False

    @classmethod
    def of(cls, options: Any) -> Cursor:
        """Return that of a row; raises ValueError for one that somebody has written.

        For it must not begin anew: each task is changed once.
        """
        given = options.get(KEY) if isinstance(options, dict) else None
        if given is None:
            return cls()
        try:
            return _read(given)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(
                f"its row has {brief(given)} for how far it is, which is of no release; "
                "record a new one"
            ) from None

    def as_json(self) -> dict[str, Any]:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given["after"] = None if self.after is None else self.after.hex
        given["below"] = [pk.hex for pk in self.below]
        return given

    def past(
        self, ids: list[UUID], changed: int, refused: int, below: list[UUID]
    ) -> Cursor:
        """Return it behind a batch."""
        return replace(
            self,
            after=ids[-1],
            below=tuple(below),
            looked=self.looked + len(ids),
            changed=self.changed + changed,
            refused=self.refused + refused,
        )

    @property
    def reached(self) -> int:
        """Tasks that it has come to, those below others as well."""
        return self.looked + self.also

    @property
    def left(self) -> int:
        """Tasks that had become something else until it came to them."""
        return self.looked - self.changed - self.refused

    @property
    def result(self) -> dict[str, int]:
        """What came of all of it."""
        found = {"changed": self.changed, "refused": self.refused, "left": self.left}
        return {**found, "below": self.also} if self.also else found

    def words(self) -> str:
        """Return how far it is as text, for its log and its progress."""
        parts = [f"{self.changed:,} changed"]
        parts += [f"{self.also:,} below them"] * bool(self.also)
        parts += [f"{self.refused:,} refused"] * bool(self.refused)
        parts += [f"{self.left:,} left as they are by now"] * bool(self.left)
        return ", ".join(parts)


def _read(given: Any) -> Cursor:
    counts = {name: given[name] for name in ("looked", "changed", "refused", "also")}
    if any(type(count) is not int or count < 0 for count in counts.values()):
        raise ValueError
    if type(given["done"]) is not bool or set(given) != {
        f.name for f in fields(Cursor)
    }:
        raise ValueError
    after = given["after"]
    return Cursor(
        after=None if after is None else UUID(after),
        below=tuple(UUID(pk) for pk in given["below"]),
        done=given["done"],
        **counts,
    )


def read(using: str, claim: Claim) -> tuple[Cursor, Any]:
    """Return how far the claimed operation is, with all that its row keeps.

    Raises LeaseLost once the claim was given away.
    """
    row = held_by(using, claim).values_list("options").first()
    if row is None:
        raise LeaseLost(f"operation {claim.id} was taken away from this run")
    return Cursor.of(row[0]), row[0]


def write(
    using: str, claim: Claim, kept: Any, cursor: Cursor, operation: Operation
) -> None:
    """Write how far it is by now, and its progress, in the transaction of its batch.

    Raises LeaseLost, so that all of the batch is undone, once the claim was given away.
    """
    options = kept if isinstance(kept, dict) else {}
    total = cursor.reached if cursor.done else operation.total
    won = held_by(using, claim).update(
        options={**options, KEY: cursor.as_json()},
        progress_done=cursor.reached,
        progress_total=total if total is None else max(total, cursor.reached),
        progress_message=cursor.words()[:200],
    )
    if not won:
        raise LeaseLost(
            f"operation {claim.id} was taken away from this run; its batch is undone"
        )
