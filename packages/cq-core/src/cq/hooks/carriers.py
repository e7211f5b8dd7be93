"""The carriers of ``CQ_CONTEXT``: each takes one thing from where a task is called to its run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from cq.conf import conf
from cq.text import unstorable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

LONGEST_NAME = 100


class Carrier(Protocol):
    """A carrier: a class with static methods, a module or an instance."""

    name: str

    def capture(self) -> Any:
        """Return a JSON value, or None for nothing."""

    def enter(self, value: Any) -> AbstractContextManager[Any]:
        """Return a context manager in which that value holds."""


#: By name, in the order of the setting. Absent: not looked for yet.
_found: list[dict[str, Carrier]] = []


def carriers() -> dict[str, Carrier]:
    """Return the carriers by their names.

    Raises ImproperlyConfigured for a path that leads to none, and for two of one name.
    """
    if _found:
        return _found[0]
    paths = list(conf.CONTEXT)
    if wrong := problems(paths):
        raise ImproperlyConfigured(wrong[0])
    made = [cast("Carrier", import_string(path)) for path in paths]
    found = {carrier.name: carrier for carrier in made}
    _found[:] = [found]
    return found


def problems(paths: list[Any]) -> list[str]:
    """Say what is wrong with ``CQ_CONTEXT``; nothing where all is right."""
    wrong: list[str] = []
    by_name: dict[str, str] = {}
    for path in paths:
        if problem := _problem(path):
            wrong.append(problem)
            continue
        name = import_string(path).name
        if name in by_name:
            wrong.append(
                f"CQ_CONTEXT has {by_name[name]!r} and {path!r}, which are both named "
                f"{name!r}; give one of them another name."
            )
        by_name[name] = path
    return wrong


def _problem(path: Any) -> str | None:
    if not isinstance(path, str):
        return f"CQ_CONTEXT has {path!r}, but must have dotted names."
    try:
        found = import_string(path)
    except Exception as error:
        return (
            f"CQ_CONTEXT has {path!r}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        )
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return (
            f"CQ_CONTEXT has {path!r}, whose `name` is {name!r}, but must be a text of "
            f"1 to {LONGEST_NAME} characters."
        )
    if wrong := unstorable(name):
        return f"CQ_CONTEXT has {path!r}, whose `name` has {wrong} in it."
    for method, arguments in (("capture", ()), ("enter", (None,))):
        function = getattr(found, method, None)
        if not callable(function):
            return f"CQ_CONTEXT has {path!r}, which has no function `{method}`."
        if not _takes(function, arguments):
            return (
                f"CQ_CONTEXT has {path!r}, whose `{method}` does not take "
                f"{len(arguments)} arguments. Of a class they are static methods."
            )
    return None


def _takes(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # of C, which does not tell
        return True
    return True


def _forget(setting: str, **kwargs: Any) -> None:
    if setting == "CQ_CONTEXT":
        _found.clear()


setting_changed.connect(_forget)
