"""DBOS Transact as a side of a comparison, in an environment of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .side import Playing, made_anew, played_by

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class DbosSide:
    """DBOS on a database of the same server; interpreter: of the environment that has it."""

    interpreter: Path

    def playing(self, *, worker: bool) -> AbstractContextManager[Playing]:
        """Start it; it has no worker beside it: the process that is told runs all."""
        environment = {"CQ_BENCH_DATABASE": made_anew("cqbench_dbos")}
        command = [str(self.interpreter), "-m", "cqbench.turns.dbos_player"]
        return played_by(command, environment)
