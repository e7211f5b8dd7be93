"""Sphinx. Tables are written from the code; pages that leave something out fail."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

from django.conf import settings

if not settings.configured:
    settings.configure(USE_I18N=False)

from sphinx.errors import ConfigError

import cq
from cq import errors
from cq.conf import SETTINGS
from cq.options import Options
from cq.status import TRANSITIONS, Status

sys.path.insert(0, str(Path(__file__).parent))

import failure_modes
import timelines

project = "cq"
extensions = ["myst_parser"]
html_theme = "furo"
html_show_copyright = False
exclude_patterns = ["generated"]
myst_heading_anchors = 3


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _settings() -> str:
    lines = [_row("setting", "default", "meaning"), "|---|---|---|"]
    lines += [
        _row(f"`CQ_{name}`", f"`{setting.default!r}`", setting.help)
        for name, setting in SETTINGS.items()
    ]
    return "\n".join(lines)


def _transitions() -> str:
    lines = [_row("verb", "from", "to", "by"), "|---|---|---|---|"]
    for verb, move in TRANSITIONS.items():
        sources, targets = (
            ", ".join(s.value for s in Status if s in which)
            for which in (move.sources, move.targets)
        )
        lines.append(_row(verb, sources, targets, move.by))
    return "\n".join(lines)


def _options() -> str:
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


def _type(annotation: object) -> str:
    words = {"RetryOn": "sequence", "Backoff": "float | function"}
    text = re.sub(r"Callable\[.*?\]", "function", str(annotation))
    for alias, meaning in words.items():
        text = text.replace(alias, meaning)
    return text.replace(" | ", " or ")


def _shown(default: object) -> str:
    return "(Exception,)" if default == (Exception,) else repr(default)


def _errors() -> str:
    lines = [_row("error", "is also a", "raised when"), "|---|---|---|"]
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, BaseException):
            others = [b.__name__ for b in error.__bases__ if b is not errors.CQError]
            told = " ".join(inspect.cleandoc(error.__doc__ or "").split())
            told = re.sub("``(.*?)``", r"`\1`", told)
            where = "cq" if name in cq.__all__ else "cq.errors"
            lines.append(_row(f"`{where}.{name}`", ", ".join(others), told))
    return "\n".join(lines)


_here = Path(__file__).parent
_generated = _here / "generated"
_generated.mkdir(exist_ok=True)
for _name, _text in (
    ("settings", _settings()),
    ("transitions", _transitions()),
    ("options", _options()),
    ("errors", _errors()),
    ("failure-modes", failure_modes.table()),
):
    (_generated / f"{_name}.md").write_text(_text + "\n")
timelines.draw(_generated)


def _insist(page: str, sources: str, pattern: str) -> None:
    """Raise unless a page has all that a pattern finds in the code of the packages."""
    text = (_here / page).read_text()
    for source in (_here.parent / "packages").glob(sources):
        for found in re.findall(pattern, source.read_text()):
            if f"`{found}" not in text:
                raise ConfigError(f"docs/{page} has nothing on {found} of {source}")


_insist("checks.md", "*/src/**/*.py", r'\bid="(\w+\.[EW]\d{3})"')
_insist("commands.md", "*/src/**/commands/*.py", r'"(--[a-z-]+)",\s[^)]*?help="')
_insist("commands.md", "*/src/**/commands/*.py", r'\bVerb\("(\w+)"')
_insist("testing.md", "cq-core/src/cq/testing.py", r"(?m)^def ([a-z]\w+)\(")
