"""What steps are called, and the digest of what they are called with."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cq import codec
from cq.conf import conf
from cq.tables.durable.rows import LONGEST_STEP
from cq.text import brief

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cq.definitions.registry import Definition

#: Arguments are not kept, so they may be as large as they are.
_ANY_SIZE = 2**40


def checked_name(name: object, what: str = "the name of a step") -> str:
    """Return a name; raises TypeError for what is no text, ValueError for one too long."""
    if not isinstance(name, str):
        raise TypeError(f"{what} is {brief(name)}, but must be a text")
    if not 1 <= len(name) <= LONGEST_STEP or "\x00" in name:
        raise ValueError(
            f"{what} is {brief(name)}, but must be a text of 1 to {LONGEST_STEP} "
            "characters"
        )
    return name


def checked_key(key: object) -> str:
    """Return a key as text; raises TypeError and ValueError as `checked_name`."""
    if isinstance(key, (int, UUID)) and not isinstance(key, bool):
        return str(key)
    return checked_name(key, "key")


def digest_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return what tells the arguments of a call from others.

    Raises CodecError, with the path, for what cannot be told by the codec.
    """
    if not args and not kwargs:
        return ""
    in_order = dict(sorted(kwargs.items()))
    texts = codec.encode_call(
        args, in_order, size_limit=_ANY_SIZE, depth_limit=conf.DEPTH_LIMIT
    )
    handles = [str(handle.id) for handle in texts[2]]  # type: ignore[attr-defined]
    return digest_of_texts([texts[0], texts[1], *handles])


def digest_of_texts(texts: Iterable[str]) -> str:
    """Return the digest of some texts, in their order."""
    return blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()


def checked_undo(what: Any) -> Definition:
    """Return the task that an undo is; raises TypeError for what is none."""
    definition = getattr(what, "definition", None)
    if definition is None or getattr(what, "changes", None):
        raise TypeError(
            f"undo is {what!r}, but must be a task, without options of its own: it is "
            "kept by its name, with the step's result as its argument"
        )
    found: Definition = definition
    return found
