"""What somebody else does between two statements of a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Before:
    """Does something before the first statement that begins in one of these ways."""

    def __init__(self, beginnings: tuple[str, ...], what: Callable[[], Any]) -> None:
        self.beginnings, self.what, self.done = beginnings, what, False

    def __call__(self, execute: Any, sql: str, *given: Any) -> Any:
        if not self.done and sql.startswith(self.beginnings):
            self.done = True
            self.what()
        return execute(sql, *given)
