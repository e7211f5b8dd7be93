"""Classes that stored text names, found among what is loaded: reading a row imports nothing."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def loaded_class(module: str, qualname: str) -> type | None:
    """Return the class of that name in a module that is loaded; None if there is none."""
    return _if_class(_loaded(module, qualname))


def class_of(path: str) -> type | None:
    """Return the class that a dotted path names, likewise."""
    return _if_class(named(path))


def named(path: str) -> Any:
    """Return what a dotted path names, class or not, likewise; modules have no such path."""
    parts = path.split(".")
    # A class within another one has more than one name behind its module's.
    for end in range(len(parts) - 1, 0, -1):
        found = _loaded(".".join(parts[:end]), ".".join(parts[end:]))
        if found is not None:
            return found
    return None


def _loaded(module: str, qualname: str) -> Any:
    # getattr would run a module's own __getattr__, which may import.
    home = sys.modules.get(module)
    if not isinstance(home, ModuleType):
        return None
    names: Any = object.__getattribute__(home, "__dict__")
    *outer, last = qualname.split(".")
    for part in outer:
        within = names.get(part)
        if not _is(within, type):
            return None
        names = vars(within)
    found = names.get(last)
    return None if _is(found, ModuleType) else found


def _if_class(found: Any) -> type | None:
    return found if _is(found, type) else None


def _is(found: Any, kind: type) -> bool:
    # isinstance would ask it for its __class__, for which a lazy object runs code.
    return issubclass(type(found), kind)
