"""The limits that have a name: those of ``CQ_LIMITS``."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.definitions.keys import is_key
from cq.definitions.templates import Template
from cq.text import brief

from .limit import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAY_HAVE = ("rate", "burst", "concurrency", "key")
#: The setting that was read last, and what it says.
_read: tuple[Any, Mapping[str, Limit]] = (None, MappingProxyType({}))


def named_limits() -> Mapping[str, Limit]:
    """Return the limits of ``CQ_LIMITS`` by their names, without what is wrong there.

    Each has a key: where none is given, its name.
    """
    global _read
    setting, found = _read
    # Each claim asks. An override of the settings brings an object of its own.
    if setting is not conf.LIMITS:
        setting = conf.LIMITS
        made = {}
        for name, given in setting.items() if isinstance(setting, dict) else ():
            try:
                made[name] = _limit(name, given)
            except ValueError:
                continue  # the checks say so, and who calls
        found = MappingProxyType(made)
        _read = (setting, found)
    return found


def named_limit(name: str) -> Limit:
    """Return the limit of that name; raises ValueError, which says what there is."""
    found = named_limits().get(name)
    if found is not None:
        return found
    given = conf.LIMITS
    if isinstance(given, dict) and name in given:
        _limit(name, given[name])  # raises
    there = ", ".join(map(repr, named_limits())) or "none"
    raise ValueError(
        f"there is no limit {name!r} in CQ_LIMITS; there are: {there}; add it there, or "
        "give a Limit(...)"
    )


def setting_problems(setting: dict[Any, Any]) -> list[str]:
    """Return what is wrong with the limits of a setting."""
    found = []
    for name, given in setting.items():
        try:
            _limit(name, given)
        except ValueError as error:
            found.append(str(error))
    return found


def _limit(name: Any, given: Any) -> Limit:
    """Return what the setting says of a name; raises ValueError."""
    if not is_key(name):
        raise ValueError(
            f"CQ_LIMITS has {brief(name)}, but must have names, 1 to 200 characters of "
            "text"
        )
    what = f"CQ_LIMITS[{name!r}]"
    if not isinstance(given, dict):
        raise ValueError(
            f'{what} is {brief(given)}, but must be a dict, like {{"rate": "90/s"}}'
        )
    for option in given:
        if option not in _MAY_HAVE:
            raise ValueError(
                f"{what} has {brief(option)}, but may have {', '.join(_MAY_HAVE)}"
            )
    key = given.get("key")
    try:
        limit = Limit(**given)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if key is None:
        key = name
    elif isinstance(key, str):
        key = Template(f"the key of {what}", key, "limits")
    return limit.with_key(key)
