"""What mypy, with django-stubs, and pyright make of the public names.

`hatch run types:check` runs it. Both check `typed/`, and the example of docs/tasks.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from examples import ROOT, blocks

pytestmark = [pytest.mark.types, pytest.mark.backend("sqlite")]  # no database is asked

TYPED = ROOT / "integration-tests" / "typed"
#: Seconds for one checker.
PATIENCE = 300

#: By file and line: the codes of the errors.
Errors = dict[tuple[str, int], set[str]]


def mypy(files: list[Path], folder: Path) -> Errors:
    """Return the errors of mypy, as our own code is checked."""
    found: Errors = defaultdict(set)
    for line in output("mypy", "--output=json", *map(str, files)).splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found[Path(error["file"]).name, error["line"]].add(error["code"])
    return found


def pyright(files: list[Path], folder: Path) -> Errors:
    """Return the errors of pyright, which comes with its Node.js as basedpyright."""
    config = folder / "pyrightconfig.json"
    config.write_text(
        json.dumps({"include": [str(f) for f in files], "typeCheckingMode": "strict"})
    )
    told = output(
        "basedpyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(config),
    )
    found: Errors = defaultdict(set)
    for error in json.loads(told)["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        found[Path(error["file"]).name, line].add(error["rule"])
    return found


CHECKERS = {"mypy": mypy, "pyright": pyright}


def output(command: str, *arguments: str) -> str:
    """Return what a checker says; raises RuntimeError if it could not check."""
    path = Path(sys.executable).with_name(command)
    done = subprocess.run(
        [path, *arguments],
        cwd=ROOT,
        env=os.environ | {"MYPY_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def expected(checker: str) -> Errors:
    """Return the errors that `mistakes.py` says a checker finds in it."""
    place = list(CHECKERS).index(checker)
    lines = (TYPED / "mistakes.py").read_text().splitlines()
    comments = [re.match(r" *# E: (.*)", line) for line in lines]
    return {
        # Below the comment, which is the line behind this number.
        ("mistakes.py", number + 2): set(comment[1].split(" | ")[place].split(", "))
        for number, comment in enumerate(comments)
        if comment
    }


@pytest.fixture(scope="module", params=list(CHECKERS))
def checked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Errors]:
    """The name of a checker, and all that it finds."""
    folder = tmp_path_factory.mktemp("types")
    example(folder / "example.py")
    files = [TYPED / "known.py", TYPED / "mistakes.py", folder / "example.py"]
    return request.param, CHECKERS[request.param](files, folder)


def example(path: Path) -> list[str]:
    """Write the example of the page into a file; return its lines."""
    [code] = [b for b in blocks("docs/tasks.md") if "cqt: Task" in b]
    path.write_text(f"{code}")
    return code.splitlines()


def of(errors: Errors, name: str) -> Errors:
    return {place: codes for place, codes in errors.items() if place[0] == name}


def test_the_checkers_know_what_comes_of_a_task(checked: tuple[str, Errors]) -> None:
    assert of(checked[1], "known.py") == {}


def test_the_checkers_find_each_mistake_and_no_other(
    checked: tuple[str, Errors],
) -> None:
    checker, errors = checked
    assert of(errors, "mistakes.py") == expected(checker)


def test_the_checkers_find_what_the_page_says_they_find(
    checked: tuple[str, Errors], tmp_path: Path
) -> None:
    lines = example(tmp_path / "example.py")
    wrong = {n for n, line in enumerate(lines, 1) if "# error: " in line}
    assert wrong
    assert {line for _, line in of(checked[1], "example.py")} == wrong
