"""The base of a value: a subclass of what JSON has is stored as what it is underneath.

OrderedDict, defaultdict, Counter, a namedtuple, the `data` of Django REST framework's
serializers: a queue of JSON takes them all, and refusing one as a result would undo the
work that made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SINGLE: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}
_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset)


def as_base(value: Any) -> Any:
    """Return a value of a subclass as its base, or None if it is of none.

    Raises ValueError, with what to do instead, where a container shows its reader
    something else than it holds: the base would be other data.
    """
    kind = type(value)
    for base, plain in _SINGLE.items():
        if issubclass(kind, base):
            return plain(value)
    if issubclass(kind, dict):
        return _as_dict(value)
    for base in _COLLECTIONS:
        if issubclass(kind, base):
            shown, held = base(iter(value)), base(base.__iter__(value))
            if shown != held:
                raise ValueError(
                    f"it shows other items than the {base.__name__} in it holds; pass "
                    f"{base.__name__}() of what is meant"
                )
            return shown
    return None


def _as_dict(value: Any) -> dict[Any, Any]:
    # In the order it shows, which of an OrderedDict may be another than it holds.
    shown = dict(list(value.items()))
    if shown == dict(dict.items(value)):
        return shown
    # Django's QueryDict shows the last of several values.
    several = ", or of its .lists()" if hasattr(value, "lists") else ""
    raise ValueError(
        "its items() are not what the dict in it holds; pass dict() of its "
        f".items(){several}"
    )
