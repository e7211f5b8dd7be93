"""The quick way from arguments and results to ASCII JSON text.

Most values are plain data, which json alone writes right; a survey tells. What it can't
write goes to :mod:`cq.codec.encoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.errors import CodecError

from .encoder import Encoder, dumps, too_large

if TYPE_CHECKING:
    from uuid import UUID

    from .handle import Handle


class Encoded(str):
    """Text as it stands in the database, not decoded yet."""

    __slots__ = ()


def encode(
    value: Any, *, path: str = "result", size_limit: int, depth_limit: int
) -> Encoded:
    """Return one value as text; ``path`` is what a refusal calls it.

    The size is in bytes, the depth in lists, dicts, tuples and sets around each
    other. Raises CodecError for what would not come back, and for a Handle.
    """
    text = _quick(value, (value,), depth_limit, size_limit)
    if text is None:
        text = Encoder(size_limit, depth_limit).value(path, value)
    if len(text) > size_limit:
        raise too_large(path, len(text), size_limit)
    return Encoded(text)


def encode_call(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    size_limit: int,
    depth_limit: int,
) -> tuple[Encoded, Encoded, list[Handle]]:
    """Return args as a JSON list, kwargs as a JSON object, and the handles in them.

    The size limit, in bytes, is for both together; handles come in the order of
    their index. Raises CodecError for what would not come back.
    """
    handles: list[Handle] = []
    args_text = _quick(args, args, depth_limit, size_limit)
    kwargs_text = _quick(kwargs, kwargs, depth_limit, size_limit) if kwargs else "{}"
    if args_text is None or kwargs_text is None:
        if not all(isinstance(name, str) for name in kwargs):
            raise CodecError("kwargs: a name is not a str")
        encoder = Encoder(size_limit, depth_limit, handles)
        args_text = encoder.args(args)
        kwargs_text = encoder.kwargs(kwargs)
    size = len(args_text) + len(kwargs_text)
    if size > size_limit:
        raise too_large("args and kwargs", size, size_limit)
    return Encoded(args_text), Encoded(kwargs_text), handles


def group_marker(task_id: UUID) -> Encoded:
    """Return what stands for a result that is made of a group's children when read."""
    return Encoded(f'{{"$":"group","v":"{task_id.hex}"}}')


_ATOMS = frozenset({int, float, bool, type(None)})


def _quick(value: Any, values: Any, depth: int, room: int) -> str | None:
    """Return the text if json alone does it right; None to look closer."""
    try:
        if _survey(values, depth, room) < 0:
            return None
        text = dumps(value)
    except (ValueError, RecursionError):
        return None
    # An escaped surrogate: a character beyond 0xffff, or a lone one.
    return None if "\\ud" in text else text


def _survey(values: Any, depth: int, room: int) -> int:
    """Return the bytes surely left of ``room``; negative if it isn't plain data."""
    room -= len(values)
    items = values
    if isinstance(values, dict):
        for key in values:
            if type(key) is not str or key == "$":
                return -1
            room -= len(key)
        items = values.values()
    for item in items:
        kind = type(item)
        if kind is str:
            room -= len(item)
        elif kind is list or kind is dict:
            if depth <= 0:
                return -1
            room = _survey(item, depth - 1, room)
            if room < 0:
                return -1
        elif kind not in _ATOMS:
            return -1
    return room
