"""The filter of cq's loggers: a record is one line, and no terminal obeys it.

Names, errors and what a task logs may come from anybody. With a line break in it such a
text would forge a line of the log, with an escape it would rule the terminal.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cq.text import harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

#: All of cq's loggers, those of its siblings as well.
LOGGERS = (
    "cq",
    "cq.admin",
    "cq.context",
    "cq.doorbell",
    "cq.fairness",
    "cq.figures",
    "cq.lease",
    "cq.limits",
    "cq.live",
    "cq.local",
    "cq.logs",
    "cq.otel",
    "cq.prune",
    "cq.rescue",
    "cq.runner",
    "cq.scheduler",
    "cq.serial",
    "cq.serving",
    "cq.signals",
    "cq.task",
    "cq.worker",
)


class _OneLine:
    """An argument of a record, made harmless if anybody writes it."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __str__(self) -> str:
        return one_line(str(self.value))

    def __repr__(self) -> str:
        return one_line(repr(self.value))


def install() -> None:
    """Let every record of cq's loggers pass the filter, whatever handlers there are."""
    for name in LOGGERS:
        # A filter is added once, however often.
        logging.getLogger(name).addFilter(keep_to_one_line)


def keep_to_one_line(record: logging.LogRecord) -> bool:
    """Make the arguments of a record harmless, and the text of its exception."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(_argument, record.args))
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and any(map(_is_harmful, _chain(error))):
        # Formatters take this text where it is there. Its lines stay lines.
        text = logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
        record.exc_text = harmless(text)
    return True


def _argument(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else _OneLine(value)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _is_harmful(error: BaseException) -> bool:
    try:
        text = str(error)
    except Exception:  # no text, no harm
        return False
    return harmless(text) != text
