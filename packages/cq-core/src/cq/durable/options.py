"""The options of a step, as ``cqt.using()`` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cq.definitions.option_rules import RULES
from cq.text import brief

from .names import checked_key, checked_undo


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step is called: how often, with which pauses, under which key."""

    retries: int = 0
    backoff: Any = None
    key: str = ""
    atomic: bool = True
    #: The task that takes it back, given its result.
    undo: Any = None


_PLAIN = StepOptions()


def options_of(given: dict[str, Any]) -> StepOptions:
    """Return checked options; raises TypeError for what is none, ValueError for a value."""
    if not given:
        return _PLAIN
    values = dict(given)
    if values.get("undo") is not None:
        # So that none is done which nothing can take back.
        checked_undo(values["undo"]).check_arguments((None,), {})
    unknown = sorted(set(values) - set(StepOptions.__slots__))
    if unknown:
        raise TypeError(
            f"a step has no option {unknown[0]!r}; it has "
            f"{', '.join(StepOptions.__slots__)}"
        )
    if values.get("key") is not None:
        values["key"] = checked_key(values["key"])
    else:
        values.pop("key", None)
    for name in ("retries", "backoff", "atomic"):
        if name not in values:
            continue
        valid, wanted = RULES[name]
        if not valid(values[name]):
            raise ValueError(
                f"{name} of a step is {brief(values[name])}, but must be {wanted}"
            )
    if "backoff" in values:
        values["backoff"] = _in_seconds(values["backoff"])
    return StepOptions(**values)


def check_no_undo(verb: str, options: StepOptions) -> None:
    """Raise TypeError for `undo` where only a step can have one."""
    if options.undo is not None:
        raise TypeError(
            f"undo= is for a step, and {verb}() takes none; keep what takes it back by "
            "cqt.compensate(...)"
        )


def check_only_key(verb: str, options: StepOptions) -> None:
    """Raise TypeError for options of a step where nothing but a key can be given."""
    check_no_undo(verb, options)
    if options != StepOptions(key=options.key):
        raise TypeError(
            f"retries=, backoff= and atomic= are for a step, and {verb}() takes none; "
            "give them to its task: task.using(retries=...)"
        )


def _in_seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return tuple(map(_in_seconds, value))
    return value
