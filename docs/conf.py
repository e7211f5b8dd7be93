"""Sphinx. Pages that leave something out, or are older than the code, fail."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if not settings.configured:
    settings.configure(USE_I18N=False)

from sphinx.errors import ConfigError

sys.path.insert(0, str(Path(__file__).parent))

import generate

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "cq"
extensions = ["myst_parser"]
html_theme = "furo"
html_show_copyright = False
myst_heading_anchors = 3

_here = Path(__file__).parent

if _stale := generate.stale():
    raise ConfigError(
        f"older than the code: {', '.join(_stale)}; run `{generate.COMMAND}` and "
        "commit what it writes"
    )


def _insist(page: str, sources: str, pattern: str) -> None:
    """Raise unless a page has all that a pattern finds in the code of the packages."""
    text = (_here / page).read_text()
    for source in (_here.parent / "packages").glob(sources):
        for found in re.findall(pattern, source.read_text()):
            if f"`{found}" not in text:
                raise ConfigError(f"docs/{page} has nothing on {found} of {source}")


_insist("checks.md", "*/src/**/*.py", r'\bid="(\w+\.[EW]\d{3})"')
for _folder in ("cli", "commands"):
    _insist(
        "commands.md", f"*/src/**/{_folder}/**/*.py", r'"(--[a-z-]+)",\s[^)]*?help="'
    )
_insist("commands.md", "*/src/**/commands/**/*.py", r'\bVerb\("(\w+)"')
_insist("testing.md", "cq-core/src/cq/testing/__init__.py", r'(?m)^    "([a-z]\w+)",')


def _menu(app: Sphinx, page: str, source: list[str]) -> None:
    """Make the menu of the links on the first page.

    A `toctree` there would be shown as it is where nobody builds the pages.
    """
    if page == "index":
        for section in source[0].split("\n## ")[1:]:
            links = re.findall(r"(?m)^- \[.*?\]\((\S+)\.md\)", section)
            options = f":hidden:\n:caption: {section.splitlines()[0]}\n\n"
            source[0] += f"\n```{{toctree}}\n{options}{chr(10).join(links)}\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", _menu)
