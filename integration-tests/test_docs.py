"""The pages show what the code says, and can be read where no build makes them."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", *ROOT.glob("packages/*/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def prose(page: Path) -> str:
    """Return a page without its pieces of code."""
    return re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text())


def test_what_is_written_from_the_code_is_fresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    generate = importlib.import_module("generate")
    stale = generate.stale()
    assert not stale, (
        f"older than the code: {', '.join(stale)}; run `{generate.COMMAND}` and commit "
        "what it writes"
    )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_has_nothing_that_only_a_build_shows(page: Path) -> None:
    assert re.findall(r"```\{\w+\}|\{\w+\}`", page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(page))
    lost = [
        link
        for link in links
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_page_has_strangers_packages_installed(page: Path) -> None:
    # Nothing is released: `cq` belongs to somebody else, and what is free today may be
    # anybody's tomorrow. From the checkout it is a path.
    wanted = re.findall(r"pip install ([^`|\n]*)", page.read_text())
    names = [word.strip("\"'") for line in wanted for word in line.split()]
    assert [name for name in names if re.match(r"cq\b", name)] == []


def test_the_type_of_an_option_is_whole() -> None:
    table = (DOCS / "tasks.md").read_text().partition("<!-- end of options -->")[0]
    rows = re.findall(r"(?m)^\| (`\w+`) \| (.*?) \|", table)
    assert ("`tags`", "Sequence[str] or function") in rows
    cut = [row for row in rows if row[1].count("[") != row[1].count("]")]
    assert not cut


@pytest.mark.parametrize("name", sorted(p.name for p in DOCS.glob("images/*.svg")))
def test_a_picture_can_be_drawn(name: str) -> None:
    root = ElementTree.parse(DOCS / "images" / name).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox")


def test_the_moving_picture_shows_the_kill_and_its_end() -> None:
    picture = (DOCS / "images" / "demo.svg").read_text()
    assert "was killed (SIGKILL)" in picture
    assert "1000 products published" in picture


def said() -> str:
    """All texts in the code of the packages, as they are put together there."""
    texts = []
    for source in ROOT.glob("packages/*/src/**/*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_the_symptoms_have_the_words_of_the_code() -> None:
    rows = re.findall(
        r"(?m)^\| (.*?) \| .* \|$", (DOCS / "troubleshooting.md").read_text()
    )
    symptoms = [row for row in rows if not re.match("what you see|-", row)]
    assert len(symptoms) >= 25
    elsewhere = (
        "TypeError",
        "TestCase",
        "database is locked",
        "no such table",
        "relation",
    )
    code = said()
    unknown = [
        part
        for symptom in symptoms
        for _, message in re.findall("(`+)(.+?)\\1", symptom)
        if not message.startswith(elsewhere) and re.search(r"[a-z] [a-z]", message)
        # What a message has in the place of `...` splits it in the code as well.
        for part in re.split(r"\.\.\.|CodecError: args\[0\]: ", message)
        if part.strip() and part.strip(" :;'()") not in code
    ]
    assert unknown == []
