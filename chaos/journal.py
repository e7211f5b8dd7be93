"""What an enqueuing process knows, written down as it happens.

One line of JSON for each thing, written by one system call: it outlives the process,
whose SIGKILL may come between any two. Not kept in the database, which is in doubt.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: It was recorded in a transaction, which has not ended as far as is known.
MADE = "made"
COMMITTED = "committed"
ROLLED_BACK = "rolled back"
#: `revoke()` has returned True.
REVOKED = "revoked"
#: All that it waits for was sent to it, in time.
SENT = "sent"


class Journal:
    """The lines of one process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, what: str, task: Any, **facts: Any) -> None:
        line = json.dumps([what, str(task), facts]) + "\n"
        os.write(self._file, line.encode())


@dataclass
class Told:
    """All that the processes said, by id of the task."""

    state: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)

    def ids(self, state: str) -> list[str]:
        return [task for task, said in self.state.items() if said == state]


def read(directory: Path) -> Told:
    """Read the journals of all processes; a line cut short by a kill is left out."""
    told = Told()
    for path in sorted(directory.glob("*.journal")):
        for line in path.read_text().splitlines():
            try:
                what, task, facts = json.loads(line)
            except ValueError:
                continue
            if what == REVOKED:
                told.revoked.add(task)
            elif what == SENT:
                told.sent.add(task)
            # Of a unique call that found a live one, only that is known.
            elif told.state.get(task) != COMMITTED:
                told.state[task] = what
            told.facts.setdefault(task, {}).update(facts)
    return told
