"""The page on testing: its tests are run as they stand there, in the README's site."""

from __future__ import annotations

import re
import sys
import textwrap

import pytest
from examples import ROOT, Site, place
from site_databases import on_postgres

pytestmark = pytest.mark.backend("sqlite", "postgres")


def examples() -> list[str]:
    """All of the page, also the one within a list."""
    text = (ROOT / "docs" / "testing.md").read_text()
    found = re.findall(r"(?ms)^( *)```python\n(.*?)^\1```", text)
    return [textwrap.dedent(block) for _, block in found]


def test_the_tests_of_the_page_pass(project: Site) -> None:
    for block in examples():
        assert place(block), f"where does it belong?\n{block}"
        if on_postgres() and "sqlite3" in block:
            continue  # the name that SQLite's test database needs
        project.put(block)
    project.manage("makemigrations", "shop", "--verbosity=0")
    ini = "[pytest]\nDJANGO_SETTINGS_MODULE = site1.settings\naddopts = -p no:asyncio\n"
    (project.folder / "pytest.ini").write_text(ini + "filterwarnings = error\n")
    output = project.run(sys.executable, "-m", "pytest", "-v")
    assert re.search(r"= 11 passed in ", output), output
    # By Django's own runner, too.
    assert "Ran 2 tests" in project.manage("test", "shop.tests")
