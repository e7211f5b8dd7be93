"""What somebody sees of a task or of the whole, and how it is said that they see nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

#: Codes that a socket is closed with.
GONE, FORBIDDEN, RAN_OUT = 4404, 4403, 4401


class Denied(Exception):
    """What is asked for is not for them; the socket is closed with that code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Sight(NamedTuple):
    """What somebody sees of a task, or of the whole, as it is read."""

    #: Who has the same one sees the same, so it is read once for all of them.
    key: Hashable
    state: Callable[[Any, int | None], dict[str, Any]]
    etag: Callable[[Any, int | None], str]
