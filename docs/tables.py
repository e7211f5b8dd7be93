"""The tables of the reference pages, in Markdown, from the code that they describe."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import cq
from cq import errors
from cq.conf import SETTINGS
from cq.definitions.options import Options
from cq.metrics import FAMILIES
from cq.status import TRANSITIONS, Status


def settings() -> str:
    """Return the table of settings."""
    lines = [_row("setting", "default", "meaning"), "|---|---|---|"]
    lines += [
        _row(f"`CQ_{name}`", f"`{setting.default!r}`", setting.help)
        for name, setting in SETTINGS.items()
    ]
    return "\n".join(lines)


def transitions() -> str:
    """Return the table of the moves between statuses."""
    lines = [_row("verb", "from", "to", "by"), "|---|---|---|---|"]
    for verb, move in TRANSITIONS.items():
        sources, targets = (
            ", ".join(s.value for s in Status if s in which)
            for which in (move.sources, move.targets)
        )
        lines.append(_row(verb, sources, targets, move.by))
    return "\n".join(lines)


def options() -> str:
    """Return the table of the options of `@task`."""
    told = dict(
        line.strip().split(": ", 1)
        for line in inspect.cleandoc(Options.__doc__ or "").splitlines()
        if ": " in line
    )
    lines = [_row("option", "type", "default", "meaning"), "|---|---|---|---|"]
    lines += [
        _row(
            f"`{f.name}`",
            _type(f.type),
            f"`{_shown(f.default)}`",
            told[f.name].replace("``", "`"),
        )
        for f in fields(Options)
    ]
    return "\n".join(lines)


def raised() -> str:
    """Return the table of errors."""
    lines = [_row("error", "is also a", "raised when"), "|---|---|---|"]
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, BaseException):
            others = [b.__name__ for b in error.__bases__ if b is not errors.CQError]
            told = " ".join(inspect.cleandoc(error.__doc__ or "").split())
            told = re.sub("``(.*?)``", r"`\1`", told)
            where = "cq" if name in cq.__all__ else "cq.errors"
            lines.append(_row(f"`{where}.{name}`", ", ".join(others), told))
    return "\n".join(lines)


def metrics() -> str:
    """Return the table of metrics."""
    lines = [_row("metric", "labels", "meaning"), "|---|---|---|"]
    lines += [
        _row(f"`{name}`", ", ".join(f"`{label}`" for label in of.labels), of.help)
        for name, of in FAMILIES.items()
    ]
    return "\n".join(lines)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


#: With what is in brackets within its brackets.
_CALLABLE = re.compile(r"Callable\[(?:[^\[\]]|\[[^\[\]]*\])*\]")


def _type(annotation: object) -> str:
    words = {"RetryOn": "sequence", "Backoff": "float | function"}
    text = _CALLABLE.sub("function", str(annotation))
    for alias, meaning in words.items():
        text = text.replace(alias, meaning)
    return text.replace(" | ", " or ")


def _shown(default: object) -> str:
    return "(Exception,)" if default == (Exception,) else repr(default)
