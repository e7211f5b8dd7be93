"""Arguments and results as ASCII JSON text that comes back as it went.

What JSON has no word for stands in it as ``{"$": tag, "v": value}``; a dict with a
key ``"$"`` of its own is stored as pairs, so no data can pass for a tag. Subclasses
of str, int, float, datetime and the like come back as those; aware datetimes with
the offset they had, not the zone; saved model instances as the database has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from . import tags
from .encoder import Encoder, Handle, dumps, too_large
from .errors import CodecError

__all__ = [
    "Encoded",
    "Handle",
    "Results",
    "decode",
    "decode_call",
    "encode",
    "encode_call",
    "group_marker",
    "group_of",
]

Results = Callable[[int, int], list[Any]]


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


def decode(text: str, results: Results | None = None) -> Any:
    """Return the value a text stands for.

    ``results(start, count)`` gives what stands in the places of that many handles.
    A broken or hostile text raises CodecError; what the database or ``results``
    raises passes, unless it is a ValueError.
    """
    try:
        if '"$"' not in text and "\\u0024" not in text:
            return _plain(text)
        return _decoder(object_hook=partial(_restore, results)).decode(text)
    except CodecError:
        raise
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the stored text cannot be read: {error}") from error


def _plain(text: str) -> Any:
    # As cq writes it there is nothing around the value, for which `decode` looks twice.
    try:
        value, end = _PLAIN.raw_decode(text)
    except ValueError:
        end = -1
    return value if end == len(text) else _PLAIN.decode(text)


def decode_call(
    args_text: str, kwargs_text: str, results: Results | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the args and kwargs of a call; raises CodecError as decode() does."""
    args = decode(args_text, results)
    kwargs = {} if kwargs_text == "{}" else decode(kwargs_text, results)
    # A tuple is what somebody has assigned to `task.args`.
    if type(args) not in (list, tuple):
        raise CodecError(f"the stored args are a {type(args).__name__}, not a list")
    if type(kwargs) is not dict or not all(type(name) is str for name in kwargs):
        raise CodecError("the stored kwargs are not a dict of names and values")
    return tuple(args), kwargs


def group_marker(task_id: UUID) -> Encoded:
    """Return what stands for a result that is made of a group's children when read."""
    return Encoded(f'{{"$":"group","v":"{task_id.hex}"}}')


def group_of(text: str) -> UUID | None:
    """Return the id in a group marker; None if the text is anything else."""
    match = _GROUP.fullmatch(text)
    return UUID(match[1]) if match else None


_GROUP = re.compile(r'\{"\$":"group","v":"([0-9a-f]{32})"\}')
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


def _restore(results: Results | None, found: dict[str, Any]) -> Any:
    if "$" not in found:
        return found
    if len(found) != 2 or "v" not in found:
        raise CodecError("a stored tag has other keys than $ and v")
    tag, stored = found["$"], found["v"]
    if tag == "task":
        return _take(results, [stored, 1])[0]
    if tag == "tasks":
        return _take(results, stored)
    try:
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag](_list(stored))
        return tags.read(tag, stored)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise CodecError(f"stored {tag!r:.80} cannot be read: {error}") from error


def _take(results: Results | None, span: Any) -> list[Any]:
    if type(span) is not list or [type(n) for n in span] != [int, int] or min(span) < 0:
        raise CodecError("stored handles are not a start and a count")
    if results is None:
        raise CodecError("the stored text waits for the results of other tasks")
    start, count = span
    values = list(results(start, count))
    if len(values) != count:
        raise CodecError(f"there are {len(values)} results in place of {count}")
    return values


def _list(stored: Any) -> list[Any]:
    if type(stored) is not list:
        raise TypeError(f"{type(stored).__name__} in place of a list")
    return stored


_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "dict": lambda pairs: dict(map(_list, pairs)),
    "frozenset": frozenset,
    "set": set,
    "str": "".join,
    "tuple": tuple,
}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"{text:.40} is beyond float")
    return value


_decoder = partial(json.JSONDecoder, parse_constant=_no_constant, parse_float=_finite)
_PLAIN = _decoder()
