"""The ``CQ_`` settings: their defaults, types and limits, read when used."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings as django_settings


class Setting(NamedTuple):
    """One setting: its default, the types it may have, and what it means."""

    default: Any
    types: tuple[type, ...]
    help: str
    minimum: float | None = None


_NONE = type(None)
_NUMBER = (int, float)

SETTINGS: dict[str, Setting] = {
    "DATABASE": Setting("default", (str,), "Alias of the database with the tasks."),
    "SERIAL": Setting(
        False, (bool,), "Run `.delay()` in line, for tests and shells. Rows are made."
    ),
    "RUN_INLINE": Setting(
        None,
        (bool, _NONE),
        "Run tasks after commit in the process that made them. None: when "
        "cq_channels is not installed. False: only record them.",
    ),
    "QUEUES": Setting(
        None, (list, tuple, set, _NONE), "The queues allowed. None: any name."
    ),
    "RESULT_TTL": Setting(
        None,
        (int, float, _NONE),
        "Seconds a finished tree is kept. None: for ever.",
        0,
    ),
    "LOG_LIMIT": Setting(
        10_000, (int,), "Lines kept in the log of a top-level task.", 101
    ),
    "HEARTBEAT": Setting(2.0, _NUMBER, "Seconds between two heartbeats.", 0.05),
    "LEASE": Setting(
        15.0, _NUMBER, "Seconds without a heartbeat until a worker is dead.", 0.1
    ),
    "POLL": Setting(1.0, _NUMBER, "Seconds between two looks at the table.", 0.01),
    "SWEEP": Setting(5.0, _NUMBER, "Seconds between two sweeps.", 0.05),
    "DRAIN": Setting(25.0, _NUMBER, "Seconds a stopping worker gives to what runs.", 0),
    "MAX_LOSSES": Setting(
        3, (int,), "Workers that may die under a task until it is LOST.", 1
    ),
    "UNKNOWN_GRACE": Setting(
        600.0,
        _NUMBER,
        "Seconds in which a task whose name no worker knows is tried again.",
        0,
    ),
    "MAX_TREE_DEPTH": Setting(100, (int,), "Levels of subtasks under each other.", 1),
    "SIZE_LIMIT": Setting(
        1024 * 1024, (int,), "Bytes of a task's own arguments, or its result.", 1024
    ),
    "DEPTH_LIMIT": Setting(64, (int,), "Levels of nesting in a stored value.", 1),
    "UNIQUE_WAIT": Setting(
        5.0, _NUMBER, "Seconds to wait for a transaction that holds a unique key.", 0
    ),
    "CHANNEL_LAYER": Setting("default", (str,), "Alias of the channel layer to ring."),
    "SCHEDULER": Setting(True, (bool,), "Whether workers run the scheduler."),
    "ADMIN_AUTOREGISTER": Setting(
        True, (bool,), "Whether cq_admin adds its pages to the default admin site."
    ),
}


#: What Django's lazy settings hold, without their detour through Python.
_held: dict[str, Any] = object.__getattribute__(django_settings, "__dict__")


class Conf:
    """Attribute access to the settings: ``conf.LEASE`` is ``CQ_LEASE``."""

    def __init__(self) -> None:
        #: By name: the settings object that lacks it.
        self._lacking: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            setting = SETTINGS[name]
        except KeyError:
            raise AttributeError(f"cq has no setting CQ_{name}") from None
        # Django is quick with what is set, and ten times as slow to say that something
        # is not; a task asks a dozen times. An override brings an object of its own.
        holder = _held.get("_wrapped")
        if holder is not None and self._lacking.get(name) is holder:
            return setting.default
        try:
            return getattr(django_settings, f"CQ_{name}")
        except AttributeError:
            self._lacking[name] = _held.get("_wrapped")
            return setting.default


conf = Conf()


def problem(name: str, value: Any) -> str | None:
    """Say what is wrong with ``CQ_<name> = value``; None when nothing is."""
    setting = SETTINGS[name]
    # bool is an int to isinstance, and CQ_LEASE = True is a mistake.
    wrong_bool = isinstance(value, bool) and bool not in setting.types
    if wrong_bool or not isinstance(value, setting.types):
        wanted = " or ".join(
            "None" if t is _NONE else t.__name__ for t in setting.types
        )
        return f"CQ_{name} is {value!r}, but must be {wanted}."
    if (
        setting.minimum is not None
        and isinstance(value, (int, float))
        and not value >= setting.minimum
    ):
        return f"CQ_{name} is {value!r}, but must be at least {setting.minimum:g}."
    return None
