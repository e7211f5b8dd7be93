"""Tokens: each names one task, says what may be seen of it, and ends by itself.

A token is signed with the site's ``SECRET_KEY`` and stored nowhere. Whoever has it sees
the task, so it is worth an hour, unless it is bound to a user.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from django.core import signing

if TYPE_CHECKING:
    from django.http import HttpRequest

SALT = "cq.progress.token"
#: No key of a user is longer, as text.
LONGEST_USER = 100
LONGEST_TOKEN = 400
LONGEST_AGE = timedelta(days=3650).total_seconds()

#: The task's id, what may be seen, and the second at which it ends.
_HEAD = struct.Struct(">16sBI")
_LOG, _CANCEL, _RESULT, _BOUND = 1, 2, 4, 8


class Refused(Exception):
    """A token that is not taken. Why is nobody's business: it is one answer for all."""


class Token(NamedTuple):
    """What a token says."""

    task_id: UUID
    log: bool = False
    cancel: bool = False
    result: bool = False
    #: The key of the one user whose session may show it; None: anybody's.
    user: str | None = None


class _Named(Protocol):
    @property
    def pk(self) -> UUID: ...


def token_of(
    task: _Named,
    max_age: float | timedelta = 3600,
    log: bool = False,
    cancel: bool = False,
    result: bool = False,
    user: Any = None,
) -> str:
    """Return a signed text that lets end users see this task, and no other.

    max_age: seconds until it ends. log: also the lines said with ``public=True``.
    cancel: it may be cancelled. result: also what it returned.
    user: a user, or the id of one; the session has to be theirs then.
    """
    key = None if user is None else _key(user)
    return write(Token(task.pk, log, cancel, result, key), _seconds(max_age))


def write(token: Token, max_age: float) -> str:
    """Return a token as text that fits into an address."""
    flags = _LOG * bool(token.log) | _CANCEL * bool(token.cancel)
    flags |= _RESULT * bool(token.result) | _BOUND * (token.user is not None)
    until = math.ceil(time.time() + max_age)
    packed = _HEAD.pack(token.task_id.bytes, flags, until)
    packed += (token.user or "").encode()
    return _signer().sign(base64.urlsafe_b64encode(packed).rstrip(b"=").decode())


def read(text: str) -> Token:
    """Return what a token says. Raises Refused, whatever is wrong with it."""
    if len(text) > LONGEST_TOKEN:
        raise Refused
    try:
        signed = _signer().unsign(text)
        packed = base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4))
        task_id, flags, until = _HEAD.unpack_from(packed)
        user = packed[_HEAD.size :].decode()
    except (signing.BadSignature, binascii.Error, struct.error, ValueError):
        raise Refused from None
    if time.time() >= until:
        raise Refused
    return Token(
        UUID(bytes=task_id),
        bool(flags & _LOG),
        bool(flags & _CANCEL),
        bool(flags & _RESULT),
        user if flags & _BOUND else None,
    )


def read_for(request: HttpRequest, text: str) -> Token:
    """As :func:`read`, also refused where it is bound and the session is not theirs."""
    token = read(text)
    # Not asked for otherwise: the answer would depend on the cookie.
    if token.user is not None and token.user != _session_key(request):
        raise Refused
    return token


def _session_key(request: HttpRequest) -> str | None:
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None


def _signer() -> signing.Signer:
    return signing.Signer(salt=SALT)


def _key(user: Any) -> str:
    key = getattr(user, "pk", user)
    if key is None or key == "":
        raise ValueError(
            f"a token cannot be bound to {user!r}, who has no id; leave `user` out for "
            "a visitor who has not logged in"
        )
    if len(str(key).encode()) > LONGEST_USER:
        raise ValueError("the id of that user is too long for a token")
    return str(key)


def _seconds(max_age: float | timedelta) -> float:
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not 0 < seconds <= LONGEST_AGE
    ):
        raise ValueError(
            f"max_age is {max_age!r}, but must be seconds, more than 0 and at most "
            f"{LONGEST_AGE:.0f}"
        )
    return seconds
