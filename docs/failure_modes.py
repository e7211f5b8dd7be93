"""The table of failures: from failure-modes.toml, and from the names of the tests."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TEST = re.compile(r"(?m)^\s*(?:async )?def (test_row_(s?\d+)_\w+)")


def table(part: str | None = None) -> str:
    """Return the table in Markdown; or of one part alone, without its title.

    Raises ValueError for a row that no test proves and that does not say why, and for
    a test that names a row which is not in the table.
    """
    text = (ROOT / "docs" / "failure-modes.toml").read_text()
    tests = _tests()
    lines: list[str] = []
    inside = part is None
    # tomllib reads parts and rows into two lists; their order in the file is wanted.
    for block in text.split("[[")[1:]:
        kind, _, body = block.partition("]]")
        entry = tomllib.loads(body)
        if kind == "part":
            if part is not None:
                inside = entry["title"] == part
            if not inside:
                continue
            if part is None:
                lines += ["", f"## {entry['title']}", ""]
            lines += [
                "| row | what goes wrong | what cq does | tests |",
                "|---|---|---|---|",
            ]
            continue
        number = entry["number"]
        proofs = tests.pop(number, [])
        told = entry.get("untested", "")
        if bool(proofs) == bool(told):
            raise ValueError(
                f"row {number} of failure-modes.toml has {len(proofs)} tests, and "
                f"untested is {told!r}: it needs one of both"
            )
        if not inside:
            continue
        shown = "<br>".join(proofs) or told
        lines.append(f"| {number} | {entry['failure']} | {entry['answer']} | {shown} |")
    if tests:
        raise ValueError(f"tests of rows that failure-modes.toml lacks: {dict(tests)}")
    return "\n".join(lines).strip()


def _tests() -> defaultdict[str, list[str]]:
    """Return `file: test`, by the number of the row that they prove."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    files = [*ROOT.glob("packages/*/tests/**/test_*.py")]
    files += ROOT.glob("integration-tests/test_*.py")
    for file in sorted(files, key=lambda path: (path.name, path)):
        for name, number in _TEST.findall(file.read_text()):
            number = number.upper().lstrip("0")
            words = name.split("_", 3)[3].replace("_", " ")
            found[number].append(f"`{file.name}`: {words}")
    return found
