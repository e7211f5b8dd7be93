"""The way back from stored text to values, and its refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from cq.conf import SETTINGS, conf
from cq.errors import CodecError, RowGone

from . import tags
from .collisions import refuse_collisions

Results = Callable[[int, int], list[Any]]

#: How many times the size limit of today a stored text may have: the limit may have been
#: larger when it was written. What is beyond is not given to the parser.
STORED_SIZE_LIMITS = 16
#: Bytes; no setting is so low that it refuses less, so none is asked for.
_NEVER_HUGE = STORED_SIZE_LIMITS * int(SETTINGS["SIZE_LIMIT"].minimum or 0)


def decode(text: str, results: Results | None = None) -> Any:
    """Return the value a text stands for.

    ``results(start, count)`` gives what stands in the places of that many handles.
    A broken or hostile text raises CodecError, and RowGone where a row that it stands
    for was deleted; what the database or ``results`` raises passes, unless it is a
    ValueError.
    """
    if len(text) > _NEVER_HUGE:
        _refuse_huge(text)
    try:
        if '"$"' not in text and "\\u0024" not in text:
            return _plain(text)
        return _decoder(object_hook=partial(_restore, results)).decode(text)
    except CodecError:
        raise
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the stored text cannot be read: {error}") from error


def _refuse_huge(text: str) -> None:
    limit = conf.SIZE_LIMIT
    if len(text) > STORED_SIZE_LIMITS * limit:
        raise CodecError(
            f"the stored text has {len(text)} bytes, more than {STORED_SIZE_LIMITS} "
            f"times the limit of {limit} (CQ_SIZE_LIMIT); cq has not written it, or by a "
            "larger limit"
        )


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


def lacks_code(error: CodecError) -> bool:
    """Tell whether decode() failed for a class, member or tag that is not known here.

    Another process may know it. A row that is gone is gone for all of them.
    """
    return isinstance(error.__cause__, LookupError) and not isinstance(error, RowGone)


def group_of(text: str) -> UUID | None:
    """Return the id in a group marker; None if the text is anything else."""
    match = _GROUP.fullmatch(text)
    return UUID(match[1]) if match else None


_GROUP = re.compile(r'\{"\$":"group","v":"([0-9a-f]{32})"\}')


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
        kind = RowGone if isinstance(error, RowGone) else CodecError
        raise kind(f"stored {tag!r:.80} cannot be read: {error}") from error


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


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    refuse_collisions([_list(pair)[0] for pair in pairs])
    return dict(pairs)


def _set(kind: Callable[[list[Any]], Any], members: list[Any]) -> Any:
    refuse_collisions(members)
    return kind(members)


_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "dict": _dict,
    "frozenset": partial(_set, frozenset),
    "set": partial(_set, set),
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
