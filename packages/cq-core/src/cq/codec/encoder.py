"""The careful walk of the codec: every kind of value, and refusals with their path."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise

from cq.errors import CodecError
from cq.text import cut_off

from . import tags
from .advice import advice
from .bases import as_base
from .collisions import refuse_collisions
from .handle import Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


dumps = json.JSONEncoder(
    check_circular=False, allow_nan=False, separators=(",", ":")
).encode


class StandsForResult(CodecError):
    """A handle where only a value can be stored."""


class Encoder:
    """The writer of one value, or of one call, as text.

    It takes ``handles`` to put those it meets there; without, they are refused.
    Sizes are in bytes. Whatever is wrong raises CodecError.
    """

    def __init__(
        self, size_limit: int, depth_limit: int, handles: list[Handle] | None = None
    ) -> None:
        self.size_limit = size_limit
        self.depth_limit = depth_limit
        self.depth_left = depth_limit
        self.handles = handles
        # Never more than the text will have. It keeps a list that is shared at
        # every level from being walked 2**64 times.
        self.size = 0
        self.path: list[Any] = []

    def value(self, root: str, value: Any) -> str:
        return self._text(root, lambda: self._write(value))

    def args(self, args: Iterable[Any]) -> str:
        return self._text("args", lambda: self._write_each(args))

    def kwargs(self, kwargs: dict[str, Any]) -> str:
        return self._text("kwargs", lambda: self._write_dict(kwargs))

    def _text(self, root: str, written: Callable[[], Any]) -> str:
        self.path = [_Step(root)]
        try:
            return dumps(written())
        except RecursionError:
            raise CodecError(f"{root}: nested too deeply for Python") from None

    def _write(self, value: Any) -> Any:
        kind = type(value)
        self._grow(1)
        if kind is str:
            return self._write_str(value)
        if kind is int:
            return self._write_int(value)
        if kind is float:
            return self._write_float(value)
        if kind is bool or value is None:
            return value
        if kind in _CONTAINERS:
            return self._write_container(kind, value)
        return self._write_other(kind, value)

    def _write_str(self, value: str) -> Any:
        self._grow(len(value))
        if _reads_back(value):
            return value
        return _tagged("str", _SPLIT_PAIR.split(value))

    def _write_int(self, value: int) -> int:
        # Below 2000 bits it is within the lowest limit Python can be set to.
        if value.bit_length() > 2000:
            try:
                str(value)
            except ValueError:
                digits = sys.get_int_max_str_digits()
                raise self._refusal(
                    f"int has more than {digits} digits; pass hex() of it"
                ) from None
        return value

    def _write_float(self, value: float) -> float:
        if value - value != 0:
            raise self._refusal(f"float {value!r} is not in JSON; pass None or a str")
        return value

    def _write_container(self, kind: type, value: Any) -> Any:
        if self.depth_left <= 0:
            raise self._refusal(
                f"{kind.__name__} is nested deeper than the limit of "
                f"{self.depth_limit} (CQ_DEPTH_LIMIT); flatten it"
            )
        self.depth_left -= 1
        if kind is list:
            written = self._write_list(value)
        elif kind is tuple:
            written = _tagged("tuple", self._write_list(value))
        elif kind is dict:
            written = self._write_dict(value)
        else:
            self._check_hashes(kind, value)
            items = [self._write_hashed(_Step("{}"), item) for item in value]
            # In order, so that equal sets are equal texts.
            written = _tagged(kind.__name__, sorted(items, key=dumps))
        self.depth_left += 1
        return written

    def _check_hashes(self, kind: type, value: Any) -> None:
        # What could not be read back in reasonable time is refused here.
        try:
            refuse_collisions(value)
        except ValueError as error:
            raise self._refusal(f"{_name(kind)}: {error}") from error

    def _write_list(self, value: Any) -> Any:
        if self.handles is not None and len(value) > 1 and _all_handles(value):
            start = len(self.handles)
            self.handles.extend(value)
            return _tagged("tasks", [start, len(value)])
        return self._write_each(value)

    def _write_each(self, values: Iterable[Any]) -> list[Any]:
        return [self._write_at(i, item) for i, item in enumerate(values)]

    def _write_dict(self, value: dict[Any, Any]) -> Any:
        if all(type(k) is str and k != "$" and _reads_back(k) for k in value):
            self._grow(sum(map(len, value)))
            return {key: self._write_at(key, item) for key, item in value.items()}
        self._check_hashes(dict, value)
        pairs = []
        for i, (key, item) in enumerate(value.items()):
            written = self._write_hashed(_Step(f".keys()[{i}]"), key)
            pairs.append([written, self._write_at(key, item)])
        return _tagged("dict", pairs)

    def _write_at(self, step: Any, value: Any) -> Any:
        self.path.append(step)
        written = self._write(value)
        self.path.pop()
        return written

    def _write_hashed(self, step: Any, value: Any) -> Any:
        # What a task returns need not be hashable.
        handles, self.handles = self.handles, None
        written = self._write_at(step, value)
        self.handles = handles
        return written

    def _write_other(self, kind: type, value: Any) -> Any:
        if isinstance(value, Handle):
            if self.handles is None:
                raise self._refusal(
                    f"{_name(kind)} stands for a result only in the lists, tuples "
                    "and dict values of a call's arguments; pass its id",
                    StandsForResult,
                )
            self.handles.append(value)
            return _tagged("task", len(self.handles) - 1)
        if isinstance(value, Promise):
            raise self._refusal(f"{_name(kind)} is a lazy string; call str() on it")
        try:
            found = tags.write(value)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise self._refusal(f"{_name(kind)}: {error}") from error
        if found:
            tag, stored = found
            return _tagged(tag, self._write_stored(stored))
        try:
            plain = as_base(value)
        except ValueError as error:
            raise self._refusal(f"{_name(kind)}: {error}") from error
        if plain is not None:
            return self._write(plain)
        raise self._refusal(f"{_name(kind)} cannot be stored; {advice(kind)}")

    def _write_stored(self, stored: Any) -> Any:
        # A tag's own list, and a composite key in it, are no levels of the user's.
        depth_left, self.depth_left = self.depth_left, 2
        written = self._write(stored)
        self.depth_left = depth_left
        return written

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > self.size_limit:
            raise too_large(self.path[0], f"at least {self.size}", self.size_limit)

    def _refusal(self, problem: str, kind: type[CodecError] = CodecError) -> CodecError:
        return kind(f"{''.join(map(_step_text, self.path))}: {problem}")


def too_large(what: str, size: int | str, limit: int) -> CodecError:
    """Return the error that says how many bytes are too many."""
    return CodecError(
        f"{what}: {size} bytes, the limit is {limit} bytes (CQ_SIZE_LIMIT); "
        "keep the data elsewhere and pass a reference"
    )


class _Step(str):
    """A part of a path that is shown as it is."""

    __slots__ = ()


# JSON reads two surrogates next to each other as one character.
_SPLIT_PAIR = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")
_CONTAINERS = (list, dict, tuple, set, frozenset)
#: Characters of a key in the path to a value.
_LONGEST_STEP = 60


def _reads_back(text: str) -> bool:
    return text.isascii() or not _SPLIT_PAIR.search(text)


def _all_handles(values: Any) -> bool:
    return all(issubclass(kind, Handle) for kind in set(map(type, values)))


def _tagged(tag: str, stored: Any) -> dict[str, Any]:
    return {"$": tag, "v": stored}


def _step_text(step: Any) -> str:
    if isinstance(step, _Step):
        return step
    if isinstance(step, str):
        return f"[{dumps(cut_off(step, _LONGEST_STEP))}]"
    return f"[{reprlib.repr(step)}]"


def _name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
