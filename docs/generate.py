"""``hatch run docs:generate``: what the pages show of the code, written into them.

The tables stand in the pages between two comments, and the pictures in docs/images, so
that all can be read where the code is, without a build. A test and the build fail when
one of them is older than the code.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import dashboard
import failure_modes
import floors
import tables
import timelines
import traces

DOCS = Path(__file__).resolve().parent
COMMAND = "hatch run docs:generate"
#: By page: what stands in it under which name.
TABLES = {
    "metrics.md": {"metrics": tables.metrics},
    "settings.md": {"settings": tables.settings},
    "statuses.md": {"transitions": tables.transitions},
    "tasks.md": {"options": tables.options, "errors": tables.raised},
    "failure-modes.md": {"failure-modes": failure_modes.table},
    "security.md": {"attacks": partial(failure_modes.table, "Attacks")},
}


def wanted() -> dict[Path, str]:
    """Return what each file should hold. Raises ValueError for a page without a mark."""
    found = {
        DOCS / "images" / name: picture
        for pictures in (
            timelines.pictures(),
            floors.pictures(),
            dashboard.pictures(),
            traces.pictures(),
        )
        for name, picture in pictures.items()
    }
    found[DOCS / "prometheus" / "grafana.json"] = dashboard.grafana()
    for page, parts in TABLES.items():
        text = (DOCS / page).read_text()
        for name, table in parts.items():
            text = _replaced(page, text, name, table())
        found[DOCS / page] = text
    return found


def stale() -> list[str]:
    """Return the files, as paths below docs/, that are older than the code."""
    return [
        str(path.relative_to(DOCS))
        for path, text in wanted().items()
        if not path.exists() or path.read_text() != text
    ]


def _replaced(page: str, text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name}: written by `{COMMAND}` -->", f"<!-- end of {name} -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"docs/{page} lacks {begin!r} or, behind it, {end!r}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def main() -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_I18N=False)
    for path, text in wanted().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"docs/{path.relative_to(DOCS)}")


if __name__ == "__main__":
    main()
