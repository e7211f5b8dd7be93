"""One promise of cq, as a run was held against it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Check:
    """One promise: how many rows it was held against, and those that break it."""

    promise: str
    looked_at: int = 0
    broken: list[str] = field(default_factory=list)

    def must(self, holds: bool, what: str) -> None:
        self.looked_at += 1
        if not holds:
            self.broken.append(what)
