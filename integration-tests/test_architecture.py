"""docs/architecture.md names files and folders that are there, and leaves none out."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
#: By the name that a path on the page begins with.
SOURCES = {source.name: source for source in ROOT.glob("packages/*/src/*")}
ELSEWHERE = ("docs", "integration-tests", "packages")
PATH = re.compile(rf"`((?:{'|'.join([*SOURCES, *ELSEWHERE])})/[^`\s]*)`")


def where(path: str) -> Path:
    first, _, rest = path.partition("/")
    return SOURCES.get(first, ROOT / first) / rest


def parts_of(source: Path) -> list[str]:
    """The folders and files that a package has at its root, as the page writes them."""
    folders = {path.parent.name for path in source.glob("*/__init__.py")}
    files = {path.name for path in source.glob("*.py")} - {"__init__.py"}
    return sorted([f"{source.name}/{name}/" for name in folders]) + sorted(
        f"{source.name}/{name}" for name in files
    )


@pytest.mark.parametrize("path", sorted(set(PATH.findall(PAGE))))
def test_what_the_page_names_is_there(path: str) -> None:
    found = where(path)
    assert found.is_dir() if path.endswith("/") else found.is_file(), (
        f"docs/architecture.md names {path}, which is not there; has it moved?"
    )


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_the_page_names_each_folder_and_file_at_the_root(package: str) -> None:
    left_out = [part for part in parts_of(SOURCES[package]) if f"`{part}`" not in PAGE]
    assert not left_out, (
        f"docs/architecture.md has nothing on {', '.join(left_out)}; say there what "
        "it holds"
    )


def test_the_floors_tell_of_each_folder_and_file_once() -> None:
    _, _, floors = PAGE.partition("## The floors")
    rows = re.findall(r"^\| (`.*?) \|", floors.partition("## Nine walks")[0], re.M)
    told = Counter(path for row in rows for path in PATH.findall(row))
    twice = [path for path, count in told.items() if count > 1]
    assert told
    assert not twice, f"make one line of those of {', '.join(twice)}"


#: A file that is named without its folder, which is that of the one before.
BESIDE = re.compile(r"`([^`\s/]+\.py)`")


def test_a_file_named_without_its_folder_is_beside_the_one_before() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ")]
    found = 0
    for row in rows:
        for beside in BESIDE.finditer(row):
            before = where(PATH.findall(row[: beside.start()])[-1])
            assert (before.parent / beside[1]).is_file(), (
                f"docs/architecture.md names {beside[1]} beside {before.name}, where it "
                "is not"
            )
            found += 1
    assert found


def test_the_page_has_nine_walks_and_a_table_of_where_to_look() -> None:
    walks, _, table = PAGE.partition("## Nine walks")[2].partition("\n## ")
    assert walks.count("\n### ") == 9
    assert table.count("\n| ") >= 25


#: Bytes of all scripts and styles together, as they are and packed.
MOST_STATIC, MOST_STATIC_PACKED = 60 * 1024, 20 * 1024


def test_scripts_and_styles_are_small() -> None:
    static = b"".join(
        path.read_bytes()
        for source in SOURCES.values()
        for kind in ("*.js", "*.css")
        for path in sorted(source.glob(f"static/**/{kind}"))
    )
    assert 0 < len(static) <= MOST_STATIC
    assert len(gzip.compress(static)) <= MOST_STATIC_PACKED


#: Lines of a file, files of a folder beside its ``__init__``, and of a package's root.
LONGEST_FILE, FULLEST_FOLDER, FULLEST_ROOT = 300, 14, 20


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_no_file_and_no_folder_is_too_large_to_be_looked_through(package: str) -> None:
    source = SOURCES[package]
    files = [path for path in source.rglob("*.py") if "migrations" not in path.parts]
    long = [
        f"{path.relative_to(source)}: {count} lines"
        for path in files
        if (count := len(path.read_text().splitlines())) > LONGEST_FILE
    ]
    assert not long, f"divide them by their reasons to change: {long}"
    folders = Counter(path.parent for path in files if path.name != "__init__.py")
    full = [
        f"{folder.relative_to(source.parent)}: {count} files"
        for folder, count in folders.items()
        if count > (FULLEST_ROOT if folder == source else FULLEST_FOLDER)
    ]
    assert not full, f"make folders of what belongs together: {full}"
