"""Lanes: tasks of one name with the same limits and the same fair key, which are alike to who claims."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .keys import is_key

if TYPE_CHECKING:
    from .limits import LimitEntry

#: The keys that they have among what a row keeps for its runner.
LIMITS = "limits"
FAIR = "fair"


def lane_of(name: str, options: dict[str, Any] | None) -> UUID | None:
    """Return the lane of a task by what its row keeps; None: it has no limit and no turn."""
    if not isinstance(options, dict):
        return None
    limits, fair = options.get(LIMITS), options.get(FAIR)
    if not limits and fair is None:
        return None
    kept = [name, limits or [], fair]
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    # Of a version that there is, for MariaDB takes no others.
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest(), version=5)


def stored(limits: list[LimitEntry], fair: str | None) -> dict[str, Any]:
    """Return what a row keeps of limits and a fair key."""
    kept: dict[str, Any] = {}
    if limits:
        kept[LIMITS] = [[key, source] for key, source in limits]
    if fair is not None:
        kept[FAIR] = fair
    return kept


def without(options: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a row keeps, but for its limits and its fair key."""
    return {k: v for k, v in (options or {}).items() if k not in (LIMITS, FAIR)}


def limits_of(options: Any) -> list[LimitEntry]:
    """Return the limits of a task by what its row keeps; what is none is left out."""
    found = options.get(LIMITS) if isinstance(options, dict) else None
    # Anybody may have written it who has the database.
    return [
        (entry[0], entry[1])
        for entry in (found if isinstance(found, list) else ())
        if isinstance(entry, (list, tuple))
        and len(entry) == 2
        and is_key(entry[0])
        and isinstance(entry[1], (str, dict))
    ]


def fair_of(options: Any) -> str | None:
    """Return the fair key of a task by what its row keeps."""
    found = options.get(FAIR) if isinstance(options, dict) else None
    return found if is_key(found) else None
