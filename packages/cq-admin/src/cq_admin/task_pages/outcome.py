"""What a task was called with, and what came of it, as text for its reader."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cq.display.call_text import arguments
from cq.display.calls import Argument, named_arguments
from cq.display.values import readable, readable_each
from cq_admin.display.html import shortened

if TYPE_CHECKING:
    from cq.display.redaction import Redaction
    from cq.models import Task

    from .reader import Reader

#: Characters that are parsed and walked for a page; of more only the beginning is.
LONGEST_PARSED = 128 * 1024
LONGEST_BEGINNING = 32 * 1024


class Outcome:
    """The texts of one task, with what is secret hidden, never too long."""

    def __init__(self, task: Task, reader: Reader, redaction: Redaction) -> None:
        self.task = task
        self.reader = reader
        self.redaction = redaction

    @cached_property
    def error(self) -> str:
        return shortened(self.redaction.text(self.task.error or ""))

    @cached_property
    def traceback(self) -> str:
        return shortened(self.redaction.text(self.task.traceback or ""))

    @cached_property
    def arguments(self) -> list[Argument]:
        """What it was called with, by name; nothing for who may not see it."""
        if not self.reader.sees_args:
            return []
        args, kwargs = self.task.stored_text("args"), self.task.stored_text("kwargs")
        if len(args) + len(kwargs) > LONGEST_PARSED:
            return self._beginning(args, kwargs)
        return named_arguments(args, kwargs, self.redaction)

    @property
    def result(self) -> str | None:
        """What it returned; of what is long, how long it is."""
        stored = self.task.stored_text("result")
        if stored is None or len(stored) <= LONGEST_PARSED:
            return stored and readable(stored, self.redaction.result)
        return _cut(len(stored))

    def _beginning(self, args: str, kwargs: str) -> list[Argument]:
        """Return the first arguments of many, or of large ones, without reading them all."""
        starts = args[:LONGEST_BEGINNING], kwargs[:LONGEST_BEGINNING]
        found = arguments(self.redaction, *starts, LONGEST_BEGINNING)
        texts, _is_cut = readable_each(one.value for one in found)
        shown = [
            Argument(one.name or "...", text)
            for one, text in zip(found, texts, strict=True)
        ]
        return [*shown, Argument("...", _cut(len(args) + len(kwargs)))]


def _cut(characters: int) -> str:
    return f"[cut; {characters:,} characters are stored]"
