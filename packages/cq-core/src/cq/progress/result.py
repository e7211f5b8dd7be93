"""The result of a task as plain JSON for end users, with what is secret hidden."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from cq import codec
from cq.conf import conf
from cq.display.redaction import Redaction
from cq.errors import CodecError
from cq.tables.queries import tasks


def plain_result(using: str, task_id: Any) -> Any:
    """Return it as JSON has words for it; None where it cannot be read any more."""
    row: Any = tasks(using).filter(pk=task_id).first()
    if row is None:
        return None
    limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
    try:
        # Anew: of a group it is not stored, but that of its subtasks.
        node = json.loads(codec.encode(row.result, **limits))
    except (CodecError, RecursionError):
        return None
    return _plain(Redaction(row.name).result(node))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if isinstance(node, dict):
        if len(node) == 2 and "$" in node:
            return _of_tag(node["$"], node.get("v"))
        return {key: _plain(one) for key, one in node.items()}
    return node


def _of_tag(tag: Any, stored: Any) -> Any:
    match tag:
        case "dict":
            return {_key(key): _plain(value) for key, value in stored}
        case "tuple" | "set" | "frozenset":
            return _plain(stored)
        case "enum":
            return stored[2]
        case "model":
            return _plain(stored[1])
        case "timedelta":
            return timedelta(*stored).total_seconds()
        case "str":
            return "".join(stored)
        case "datetime" | "time" if isinstance(stored, list):
            return stored[0]
    return _plain(stored)


def _key(node: Any) -> str:
    key = _plain(node)
    return key if isinstance(key, str) else json.dumps(key)
