"""Single values JSON has no word for: what is stored for each, and the way back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DEFAULT_DB_ALIAS, DataError
from django.db.models import Model
from django.utils.connection import ConnectionDoesNotExist

from cq.errors import RowGone

from .loaded import loaded_class

if TYPE_CHECKING:
    from collections.abc import Callable


class Tag(NamedTuple):
    """A kind of value: its name in the text, its writer and its reader."""

    name: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def write(value: Any) -> tuple[str, Any] | None:
    """Return a value's tag and what is stored under it, or None if it has no tag.

    Raises ValueError, with what to do instead, if the value would not come back.
    """
    kind = type(value)
    if issubclass(kind, Enum):
        return "enum", _write_enum(value)
    # isinstance sees through the lazy `request.user`.
    if isinstance(value, Model):
        return "model", _write_model(value)
    for base in kind.__mro__:
        if base not in _TAGS:
            continue
        tag = _TAGS[base]
        stored = tag.write(value)
        # freezegun's datetime may come back as datetime; a pandas Timestamp with
        # nanoseconds may not.
        if base is not kind and tag.read(stored) != value:
            raise ValueError(
                f"{kind.__qualname__} would not come back equal; pass a {base.__name__}"
            )
        return tag.name, stored
    return None


def read(name: Any, stored: Any) -> Any:
    """Return the value that was stored under a tag.

    Of hostile input it raises only ArithmeticError, AttributeError, LookupError,
    TypeError and ValueError; of model instances also what the database raises, and
    RowGone, which is a LookupError, when the row was deleted.
    """
    return _READERS[name](stored)


def _write_moment(value: datetime | time) -> Any:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("its time zone has no fixed offset; pass a naive one")
    text = value.isoformat()
    return [text, 1] if value.fold else text


def _read_moment(kind: type[datetime] | type[time], stored: Any) -> Any:
    text, fold = stored if isinstance(stored, list) else (stored, 0)
    return kind.fromisoformat(text).replace(fold=fold)


def _write_decimal(value: Decimal) -> str:
    if value.is_nan():
        raise ValueError("NaN is not equal to itself; pass None or a str")
    return str(value)


def _read_decimal(stored: Any) -> Decimal:
    value = Decimal(_text(stored))
    if value.is_nan():
        raise ValueError("NaN is never stored")
    return value


def _read_timedelta(stored: Any) -> timedelta:
    days, seconds, microseconds = stored
    return timedelta(days, seconds, microseconds)


def _write_enum(value: Enum) -> list[str]:
    kind = type(value)
    names = [kind.__module__, kind.__qualname__, value.name]
    # A worker's __main__ is another module than the one of this process.
    if kind.__module__ == "__main__" or _loaded_enum(*names[:2]) is not kind:
        raise ValueError(
            f"the class {kind.__qualname__} cannot be found again; define it at "
            "the top of a module that the worker imports, or pass .value"
        )
    if kind.__members__.get(value.name) is not value:
        raise ValueError("not a single named member; pass .value")
    return names


def _read_enum(stored: Any) -> Any:
    module, qualname, member = stored
    kind = _loaded_enum(module, _text(qualname))
    if kind is None:
        raise LookupError(
            f"no Enum {qualname!r} is loaded from {module!r}; "
            "import it where the task is defined"
        )
    return kind.__members__[member]


def _loaded_enum(module: str, qualname: str) -> type[Enum] | None:
    found = loaded_class(module, qualname)
    return found if found is not None and issubclass(found, Enum) else None


def _write_model(value: Model) -> list[Any]:
    label = value._meta.label
    if value.pk is None or value._state.adding:
        raise ValueError(f"{label} is not saved; save it first")
    apps.get_model(label)
    return [label, value.pk, value._state.db or DEFAULT_DB_ALIAS]


def _read_model(stored: Any) -> Any:
    label, pk, alias = stored
    model = apps.get_model(_text(label))
    if model._meta.swapped:
        raise LookupError(f"{label} is swapped for {model._meta.swapped}")
    try:
        return model._base_manager.using(_text(alias)).get(pk=pk)
    except ObjectDoesNotExist:
        raise RowGone(f"{label} {pk!r} is not in {alias!r} any more") from None
    except (ConnectionDoesNotExist, DataError, ValidationError) as error:
        raise ValueError(f"{label} {pk!r} in {alias!r}: {error}") from error


def _text(stored: Any) -> str:
    if not isinstance(stored, str):
        raise TypeError(f"{type(stored).__name__} where text should be")
    return stored


_TAGS: dict[type, Tag] = {
    datetime: Tag("datetime", _write_moment, lambda v: _read_moment(datetime, v)),
    date: Tag("date", lambda v: v.isoformat(), date.fromisoformat),
    time: Tag("time", _write_moment, lambda v: _read_moment(time, v)),
    timedelta: Tag(
        "timedelta", lambda v: [v.days, v.seconds, v.microseconds], _read_timedelta
    ),
    Decimal: Tag("decimal", _write_decimal, _read_decimal),
    UUID: Tag("uuid", lambda v: v.hex, UUID),
    bytes: Tag(
        "bytes",
        lambda v: b64encode(v).decode("ascii"),
        lambda v: b64decode(_text(v), validate=True),
    ),
}
_READERS = {tag.name: tag.read for tag in _TAGS.values()} | {
    "enum": _read_enum,
    "model": _read_model,
}
