"""What somebody sees of a task who has a token for it: what end users are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import translation

from cq.progress import token as tokens
from cq.progress.public import public_etag, public_state

from .sight import GONE, Denied, Sight

if TYPE_CHECKING:
    from uuid import UUID

    from cq.live.state import Reading


def by_token(text: str, task_id: UUID, user: str | None, language: str) -> Sight:
    """Return what a token shows of a task. Raises Denied, whatever is wrong with it.

    user: the key of who has logged in; None: nobody has.
    """
    try:
        token = tokens.read(text)
    except tokens.Refused:
        raise Denied(GONE) from None
    if token.task_id != task_id or token.user not in (None, user):
        raise Denied(GONE)

    def state(reading: Reading, after: int | None) -> dict[str, Any]:
        with translation.override(language):
            return public_state(
                reading, log=token.log, result=token.result, after=after
            )

    def etag(reading: Reading, after: int | None) -> str:
        return public_etag(reading, log=token.log, after=after)

    return Sight(("token", token.log, token.result, language), state, etag)
