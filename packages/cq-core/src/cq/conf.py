"""The values of the ``CQ_`` settings, read when used; and what is wrong with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from .settings import ANY_OUTCOME, LONGEST_SECONDS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ANY_OUTCOME", "SETTINGS", "conf", "function", "problem")

#: What Django's lazy settings hold, without their detour through Python.
_held: dict[str, Any] = object.__getattribute__(django_settings, "__dict__")


class Conf:
    """Attribute access to the settings: ``conf.LEASE`` is ``CQ_LEASE``."""

    def __init__(self) -> None:
        #: By name: the settings object that lacks it, and what is taken then.
        self._lacking: dict[str, tuple[Any, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        # Django is quick with what is set, and ten times as slow to say that something
        # is not; a task asks a dozen times. An override brings an object of its own.
        lacking = self._lacking.get(name)
        if lacking is not None and lacking[0] is _held.get("_wrapped"):
            return lacking[1]
        try:
            setting = SETTINGS[name]
        except KeyError:
            raise AttributeError(f"cq has no setting CQ_{name}") from None
        try:
            return getattr(django_settings, f"CQ_{name}")
        except AttributeError:
            self._lacking[name] = _held.get("_wrapped"), setting.default
            return setting.default


conf = Conf()


def function(name: str) -> Callable[..., Any] | None:
    """Return the function that ``CQ_<name>`` is the path of; None where it is no path.

    Raises ImportError when there is none.
    """
    value = getattr(conf, name)
    if not isinstance(value, str):
        return None
    found: Callable[..., Any] = import_string(value)
    return found


def problem(name: str, value: Any) -> str | None:
    """Say what is wrong with ``CQ_<name> = value``; None when nothing is."""
    setting = SETTINGS[name]
    # bool is an int to isinstance, and CQ_LEASE = True is a mistake.
    wrong_bool = isinstance(value, bool) and bool not in setting.types
    if wrong_bool or not isinstance(value, setting.types):
        wanted = " or ".join(
            "None" if t is type(None) else t.__name__ for t in setting.types
        )
        shown = type(value).__name__ if setting.is_secret else repr(value)
        return f"CQ_{name} is {shown}, but must be {wanted}."
    if (
        setting.minimum is not None
        and isinstance(value, (int, float))
        and not value >= setting.minimum
    ):
        return f"CQ_{name} is {value!r}, but must be at least {setting.minimum:g}."
    if (
        setting.is_seconds
        and isinstance(value, (int, float))
        and value > LONGEST_SECONDS
    ):
        return (
            f"CQ_{name} is {value!r}, but must be at most {LONGEST_SECONDS:g} seconds."
        )
    if setting.is_path and isinstance(value, str):
        return _path_problem(name, value)
    return setting.problem(value) if setting.problem else None


def _path_problem(name: str, value: str) -> str | None:
    try:
        found = import_string(value)
    except ImportError as error:
        return f"CQ_{name} is {value!r}, which cannot be imported: {error}."
    if not callable(found):
        return f"CQ_{name} is {value!r}, which is no function."
    return None
