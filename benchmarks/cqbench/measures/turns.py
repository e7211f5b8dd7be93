"""The working tree against another revision, each with processes of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cqbench.turns.side import Side
from cqbench.turns.taking import Compared, compare, rest, show
from cqbench.turns.trees import ROOT, unpacked

KINDS = {
    "noop": "no-op tasks",
    "write": "atomic tasks with a row",
    "delay": ".delay()",
    "rows": "rows by the ORM, without cq",
}
#: Seconds of being idle.
IDLE, QUICK = 60, 5


def measure(quick: bool, before: str) -> dict[str, float]:
    found: list[Compared] = []
    values: dict[str, float] = {}
    with unpacked(before) as tree, tempfile.TemporaryDirectory() as directory:
        for database, file in {
            "postgres": None,
            "sqlite": Path(directory) / "turns",
        }.items():
            sides = (
                Side("before", tree, sqlite=file),
                Side("after", ROOT, sqlite=file),
            )
            for kind, what in KINDS.items():
                name = f"{database}: {what}"
                one = compare(name, kind, *sides, quick=quick)
                found.append(one)
                values |= one.figures(f"{database}_{kind}")
            one = rest(f"{database}: idle", *sides, QUICK if quick else IDLE)
            found.append(one)
            values[f"{database}_idle"] = one.cpu[0]
    show(found)
    return values
