"""Sphinx. The tables of settings and statuses are written from the code."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

if not settings.configured:
    settings.configure(USE_I18N=False)

from cq.conf import SETTINGS
from cq.status import TRANSITIONS, Status

project = "cq"
extensions = ["myst_parser"]
html_theme = "furo"
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


_generated = Path(__file__).parent / "generated"
_generated.mkdir(exist_ok=True)
for _name, _text in (("settings", _settings()), ("transitions", _transitions())):
    (_generated / f"{_name}.md").write_text(_text + "\n")
