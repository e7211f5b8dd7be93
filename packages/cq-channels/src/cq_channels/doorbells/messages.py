"""The message of the doorbells, the only one: look at these tasks, or at the table.

``{"type": "cq.wake", "v": 1, "ids": [hex, ...], "q": [queue, ...]}``. There are as many
queues as ids, or one that is the queue of all. No ids: look at the table.

Anybody may send one, so nothing in it is trusted. It carries ids only: the worst message
costs a look for tasks that are not there.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cq.workers.doorbell import Ready

logger = logging.getLogger("cq.doorbell")

CHANNEL = "cq-tasks"
TYPE = "cq.wake"
VERSION = 1
#: Ids in one message; for more tasks it says to look at the table.
MAX_IDS = 100

# Checked before UUID(), which takes braces, blanks and underscores as well.
_HEX = re.compile(r"[0-9a-f]{32}")
_ignored = itertools.count(1)


def build(ready: Ready) -> dict[str, Any]:
    """Return the message for these tasks."""
    if len(ready) > MAX_IDS:
        ready = []
    queues = [queue for _, queue in ready]
    if len(set(queues)) == 1:
        del queues[1:]
    return {
        "type": TYPE,
        "v": VERSION,
        "ids": [task_id.hex for task_id, _ in ready],
        "q": queues,
    }


def parse(message: Any) -> list[tuple[UUID, str]] | None:
    """Return the tasks to look at; None: look at the table. Never raises.

    A message that is not ours names no tasks. One of another version, or with too many
    ids, still says that there is work.
    """
    if not isinstance(message, dict) or message.get("type") != TYPE:
        return _ignore("it is no message of cq")
    if message.get("v") != VERSION:
        return None
    ids, queues = message.get("ids"), message.get("q")
    if not isinstance(ids, (list, tuple)) or not isinstance(queues, (list, tuple)):
        return _ignore("its ids or queues are no list")
    if not ids or len(ids) > MAX_IDS:
        return None
    if len(queues) == 1:
        queues = list(queues) * len(ids)
    return _pairs(ids, queues)


def loads(text: str) -> list[tuple[UUID, str]] | None:
    """As :func:`parse`, of what :func:`dumps` made."""
    try:
        return parse(json.loads(text))
    except (ValueError, RecursionError):
        return _ignore("it is no JSON")


def dumps(ready: Ready, limit: int) -> str:
    """Return the message as JSON in ASCII, of at most `limit` characters."""
    text = json.dumps(build(ready), separators=(",", ":"))
    if len(text) > limit:
        text = json.dumps(build([]), separators=(",", ":"))
    return text


def _pairs(ids: Sequence[Any], queues: Sequence[Any]) -> list[tuple[UUID, str]]:
    pairs = [
        (UUID(hex=task_id), queue)
        for task_id, queue in zip(ids, queues, strict=False)
        if isinstance(task_id, str)
        and _HEX.fullmatch(task_id)
        and isinstance(queue, str)
    ]
    if len(pairs) < len(ids):
        _ignore("not all of its ids are UUIDs with a queue")
    return pairs


def _ignore(reason: str) -> list[tuple[UUID, str]]:
    # Without the message itself, or whoever sent it would write into our log.
    logger.debug("ignored a message, the %dth: %s", next(_ignored), reason)
    return []
