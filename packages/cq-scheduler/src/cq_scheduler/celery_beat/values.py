"""The arguments of a Celery task, as django-celery-beat keeps them: JSON with types."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

#: What kombu writes as {"__type__": ..., "__value__": ...}.
_TYPES: dict[str, Callable[[Any], Any]] = {
    "bytes": str.encode,
    "base64": b64decode,
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda value: UUID(**value),
}


def arguments(args: str, kwargs: str) -> tuple[list[Any], dict[str, Any]]:
    """Return both as values; raises ValueError for what Celery could not read either."""
    values = _loads("args", args, list), _loads("kwargs", kwargs, dict)
    return values


def _loads(name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text or "null", object_hook=_typed) or kind()
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{name}: {text[:100]!r} cannot be read: {error}") from error
    if not isinstance(value, kind):
        raise ValueError(f"{name}: {text[:100]!r} is not a {kind.__name__}")
    return value


def _typed(value: dict[str, Any]) -> Any:
    if value.keys() != {"__type__", "__value__"}:
        return value
    name = value["__type__"]
    if name not in _TYPES:
        raise ValueError(f"the type {name!r} is not one of {', '.join(_TYPES)}")
    return _TYPES[name](value["__value__"])
