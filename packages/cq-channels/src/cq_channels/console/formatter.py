"""The lines of a worker's log on its terminal: for people, or JSON for programs.

A record of a run has `event` and what belongs to it as attributes, see
:mod:`cq_channels.worker.task_lines`; any other is text with a level.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.management.color import color_style, no_style

from cq.text import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

#: What JSON has of a run, in this order, where there is something to say.
FIELDS = ("event", "task", "id", "queue", "attempt", "seconds", "retry_in", "error")


class LineFormatter(logging.Formatter):
    """A line for people: the time, then what happened."""

    def __init__(self, *, color: bool) -> None:
        super().__init__()
        style = color_style(force_color=True) if color else no_style()
        self._of_event: dict[str, Callable[[str], str]] = {
            "complete": style.SUCCESS,
            "failed": style.ERROR,
        }
        self._of_level: dict[int, Callable[[str], str]] = {
            logging.CRITICAL: style.ERROR,
            logging.ERROR: style.ERROR,
            logging.WARNING: style.WARNING,
        }
        self._other = style.NOTICE
        #: A second since the epoch, and its text: many lines have the same.
        self._second = (0, "")
        self._plain = no_style().NOTICE

    def format(self, record: logging.LogRecord) -> str:
        time = self._time(int(record.created))
        text = record.getMessage()
        if not text.isprintable():
            text = harmless(text)
        event = getattr(record, "event", None)
        if event is not None:
            text = self._of_event.get(event, self._other)(text)
            trace = f"\n{harmless(record.exc_text)}" if record.exc_text else ""
            return f"{time} {text}{trace}"
        if record.levelno > logging.INFO:
            text = f"{record.levelname} {text}"
        if record.exc_info:
            text += "\n" + harmless(self.formatException(record.exc_info))
        return f"{time} {self._of_level.get(record.levelno, self._plain)(text)}"

    def _time(self, second: int) -> str:
        if self._second[0] != second:
            said = datetime.fromtimestamp(second).strftime("%H:%M:%S")
            self._second = (second, said)
        return self._second[1]


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        found: dict[str, Any] = {"time": moment.isoformat(timespec="milliseconds")}
        if getattr(record, "event", None) is not None:
            for name in FIELDS:
                value = getattr(record, "task_id" if name == "id" else name, None)
                if value is not None:
                    found[name] = value
        else:
            found["event"] = "log"
            found["level"] = record.levelname
            found["logger"] = record.name
            found["message"] = record.getMessage()
            if (task_id := getattr(record, "task_id", None)) is not None:
                found["id"] = task_id
            if record.exc_info:
                found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)
