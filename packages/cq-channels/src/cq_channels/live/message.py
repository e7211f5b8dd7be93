"""The messages that a socket is sent, checked: anybody may send anything."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from uuid import UUID

from cq.live.whole import Whole

LONGEST = 4 * 1024
LONGEST_TOKEN = 1_000


class Watching(NamedTuple):
    """The wish to watch a task, or the whole."""

    subject: UUID | Whole
    after: int | None = None
    token: str | None = None


class Unwatching(NamedTuple):
    """The wish to watch that no more."""

    subject: UUID | Whole


class Pausing(NamedTuple):
    """The wish to be sent nothing for now, or to be sent what has changed again."""

    paused: bool


def parse(text: str | None) -> Watching | Unwatching | Pausing:
    """Return what a message asks for. Raises ValueError for what is none of these."""
    if not text or len(text) > LONGEST:
        raise ValueError("no text, or too long")
    try:
        said = json.loads(text)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(said, dict):
        raise ValueError("no object")
    if "watch" in said:
        subject, after = _subject(said["watch"]), _after(said)
        # Only a task has lines.
        known = None if isinstance(subject, Whole) else after
        return Watching(subject, known, _token(said))
    if "unwatch" in said:
        return Unwatching(_subject(said["unwatch"]))
    if isinstance(said.get("pause"), bool):
        return Pausing(said["pause"])
    raise ValueError("neither watch, unwatch nor pause")


def _subject(said: Any) -> UUID | Whole:
    if not isinstance(said, str):
        raise ValueError("no id")
    return Whole(said) if said in set(Whole) else UUID(said)


def _after(said: dict[str, Any]) -> int | None:
    after = said.get("after")
    if after is None:
        return None
    if isinstance(after, bool) or not isinstance(after, int) or after < 0:
        raise ValueError("after is no number of a line")
    return after


def _token(said: dict[str, Any]) -> str | None:
    token = said.get("token")
    if token is None:
        return None
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        raise ValueError("no token")
    return token
