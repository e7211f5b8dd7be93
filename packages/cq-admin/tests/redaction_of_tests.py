"""What a project would hide."""

from __future__ import annotations

from typing import Any


def hide_orders(task_name: str, path: tuple[Any, ...], value: Any) -> Any:
    return "********" if path[0] == "order" else value


def hide_words(task_name: str, text: str) -> str:
    return text.replace("hunter2", "[gone]")
