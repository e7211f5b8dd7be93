"""The message to who watches a tree: look at it. Nothing else is in it, or trusted.

``{"type": "cq.live", "v": 1, "n": 7, "ids": [hex, ...], "what": 7}``. No ids: look at
everything that is shown, or only at the whole where `what` says so.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

from cq.watching.marks import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

#: Of PostgreSQL; and of a layer the group of the whole.
CHANNEL = "cq-live"
TYPE, VERSION = "cq.live", 1
MAX_IDS = 100
#: Status, progress, and lines: who hears it reads the row, so all of it at once.
ALL = 7
#: What no single tree is of: who hears it looks at the overview, and at the workers.
WHOLE = 8

_HEX = re.compile(r"[0-9a-f]{32}")
_numbers = itertools.count(1)


def build(roots: Iterable[UUID]) -> dict[str, Any]:
    """Return the message for these trees."""
    found = list(roots)
    ids = [root.hex for root in found if root != EVERYTHING]
    what = (ALL if ids else 0) | (WHOLE if EVERYTHING in found else 0)
    if len(ids) > MAX_IDS:
        ids = []
    return {
        "type": TYPE,
        "v": VERSION,
        "n": next(_numbers),
        "ids": ids,
        "what": what,
    }


def group(root: str) -> str:
    """Return the group of a layer for a tree. root: its id in hexadecimal."""
    return CHANNEL if root == EVERYTHING.hex else f"{CHANNEL}.{root}"


def parse(message: Any) -> list[str] | None:
    """Return the ids of a message; None: any tree may have changed. Never raises."""
    if not isinstance(message, dict) or message.get("type") != TYPE:
        return []
    ids, what = message.get("ids"), message.get("what")
    if not isinstance(ids, list) or len(ids) > MAX_IDS:
        return None
    whole = [EVERYTHING.hex] if isinstance(what, int) and what & WHOLE else []
    if not ids:
        return whole if what == WHOLE else None
    named = [one for one in ids if isinstance(one, str) and _HEX.fullmatch(one)]
    return named + whole


def loads(payload: str) -> list[str] | None:
    """As :func:`parse`, of the text that PostgreSQL carries."""
    try:
        return parse(json.loads(payload))
    except (ValueError, RecursionError):
        return []
