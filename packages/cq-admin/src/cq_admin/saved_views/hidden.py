"""The values that no view keeps: what is hidden of the arguments of any task."""

from __future__ import annotations

from typing import Any

from cq.definitions import registry
from cq.display.redaction import Redaction

#: Places in a list that are tried; a step with a higher number is a name.
MOST_PLACES = 100


def is_hidden(where: str, value: str) -> bool:
    """Tell whether some task hides a value that is looked for by this path."""
    steps, registered = where.split("."), list(map(Redaction, registry.names()))
    # What is not registered here hides by the settings and the names alone.
    for redaction in (Redaction(""), *registered):
        if any(map(redaction.is_secret, steps)):
            return True
    found = _at(steps, value)
    return any(redaction.kwargs(found) != found for redaction in registered)


def _at(steps: list[str], value: str) -> Any:
    """Return arguments by name that have a value at this place."""
    node: Any = value
    for step in reversed(steps[1:]):
        is_place = step.isdecimal() and step.isascii() and int(step[:9]) < MOST_PLACES
        node = [*[None] * int(step), node] if is_place else {step: node}
    return {steps[0]: node}
