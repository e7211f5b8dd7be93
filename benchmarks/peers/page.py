"""Writes the page of results: ``python -m peers.page RESULTS.json DOCS``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from .catalogue import PEERS
from .charts import draw
from .figures import WORKLOADS
from .tables import rows

HEAD = """\
# Benchmarks

<!-- Written by `hatch run bench --publish`; what is said here is in
     benchmarks/peers/page.py. -->

cq beside other task queues, measured in one run that anybody can repeat:

```
hatch run bench --rounds {rounds}    {minutes} minutes on the machine below
hatch run bench --quick       does it all run? Nothing to quote
hatch run bench --publish     writes this page anew
```

The run starts a PostgreSQL of its own, with the settings it has by default, and a Valkey
for each system that needs one. Each system has an environment of its own, made by `uv`,
is set up for two cores as well as we know, and does the same work through the same
protocol (`benchmarks/peers`). Systems take turns, workload by workload, round by round;
a figure is the median of {rounds} rounds. Machines change their speed within an hour:
compare the ratios, and only those within one run.
"""

NOTES = {
    "enqueue": "One call after another, each committed. The loop is a bare cursor of "
    "Django's with cq's INSERT.",
    "bulk": "By what each system has for many; systems without such a thing do it one "
    "by one.",
    "drain1": "The rate while more than enough is waiting, the workers' start left out. "
    "What has ended is counted before and behind, not within.",
    "writes2": "The loop writes its row by the ORM as well, and completes the task in the "
    "same transaction.",
    "latency": "The start is told by the task itself, the result by what each system has "
    "to wait for one; where it has nothing, its row is looked at every 5 ms. The loop says "
    "what cq says, with one thread on each side: a row, a NOTIFY, a claim, a completion, "
    "a NOTIFY back.",
    "fanout": "From the call to the start of the callback, two processes. Those without "
    "groups are left out; more children than 1,000 are for cq alone.",
    "history": "The transaction beside it holds a snapshot for all of the time, so that "
    "no dead row can go.",
    "idle": "PSS counts a page that n processes share as 1/n of it. Statements are those "
    "of PostgreSQL, commands those of Valkey.",
    "recovery": "SIGKILL to all processes at once, after a third of the work, and a new "
    "start at once. The peers run this four at a time.",
}


def page(found: dict[str, Any], charts: dict[str, str]) -> str:
    lines = [HEAD.format(minutes=round(found["minutes"]), rounds=found["rounds"])]
    if found["quick"]:
        lines += ["**A quick run: too short to quote.**", ""]
    for workload, known in WORKLOADS.items():
        if workload not in found["values"]:
            continue
        lines += [f"## {known.title}", ""]
        if workload in NOTES:
            lines += [NOTES[workload], ""]
        if workload in charts:
            lines += [f"![{known.title}](benchmarks/{charts[workload]})", ""]
        lines += [*_table(rows(found, workload)), ""]
    if not found["values"]:
        lines += ["There are no figures yet.", ""]
    lines += ["## How each was set up", ""]
    lines += [*_table(_setup(found)), ""]
    if found["missing"]:
        lines += ["## Missing", ""]
        for what, why in found["missing"].items():
            lines.append(f"- {what}: `{why}`")
        lines.append("")
    lines += ["## Where", "", f"- date: {found['date']}"]
    lines += [f"- {key}: {value}" for key, value in found["machine"].items()]
    lines += ["", "All values: [results.json](benchmarks/results.json).", ""]
    return "\n".join(lines)


def _setup(found: dict[str, Any]) -> list[list[str]]:
    table = [["system", "versions", "setting"]]
    for name, versions in found["versions"].items():
        said = ", ".join(f"{one} {version}" for one, version in versions.items())
        table.append([PEERS[name].title, said, PEERS[name].setting])
    return table


def _table(cells: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(cells[0]) - 1)]
    if cells[0][-1] == "setting":
        rule = ["---"] * len(cells[0])
    lines = [cells[0], rule, *cells[1:]]
    return ["| " + " | ".join(line) + " |" for line in lines]


def main() -> None:
    results, docs = Path(sys.argv[1]), Path(sys.argv[2])
    found = json.loads(results.read_text())
    folder = docs / "benchmarks"
    charts = draw(found, folder)
    if results.resolve() != (folder / "results.json").resolve():
        shutil.copyfile(results, folder / "results.json")
    (docs / "benchmarks.md").write_text(page(found, charts))


if __name__ == "__main__":
    main()
