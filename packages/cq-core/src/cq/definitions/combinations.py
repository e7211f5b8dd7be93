"""The options that make sense beside another one, or not."""

from __future__ import annotations

from typing import Any

from cq.text import brief

#: Those that say more of another one. That may be taken away for one call, and these go
#: without saying.
_NEEDS = {
    "unique_for": "unique",
    "unique_for_failed": "unique_for",
    "debounce": "unique",
}


def check_together(changes: dict[str, Any], merged: Any) -> None:
    """Raise ValueError where an option is given that makes no sense beside the others.

    merged: the options, with the changes.
    """
    for name, needed in _NEEDS.items():
        if changes.get(name) and not getattr(merged, needed):
            raise ValueError(
                f"{name} is {brief(changes[name])}, but there is no {needed}; give it "
                f"{needed}=... as well"
            )
    if merged.debounce and merged.unique and (merged.delay or merged.run_after):
        raise ValueError(
            "debounce says when a call starts, so there can be no delay and no "
            "run_after beside it; give debounce=None, or these as None"
        )
