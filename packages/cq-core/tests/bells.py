"""A bell that remembers what it was rung for."""

from __future__ import annotations

from typing import Any


class Bell:
    """What was rung for, by the ids of tasks, or the marks in their place."""

    def __init__(self) -> None:
        self.rung: list[Any] = []

    def ring(self, using: str, ready: Any) -> None:
        self.rung += [task_id for task_id, _ in ready]
