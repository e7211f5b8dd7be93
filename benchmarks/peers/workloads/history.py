"""No-op tasks with few finished rows, with many, and beside a long transaction.

One process, for as many seconds each; the many are a million.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
from cqbench.copies import copy
from django.apps import apps

from peers.draining import SPAN, drained
from peers.running import started
from peers.system import conninfo

if TYPE_CHECKING:
    from peers.system import System

FEW, MANY, QUICK_MANY = 10_000, 1_000_000, 50_000


def measure(system: System, quick: bool) -> dict[str, float]:
    if system.table is None:
        return {}
    found: dict[str, float] = {}
    finish(system, FEW)
    found["few"] = drained(system, "noop", 1, quick=quick)
    system.empty()
    finish(system, FEW)
    with psycopg.connect(conninfo()) as other:
        # A snapshot and an id of its own: no dead row may go until it ends.
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT pg_current_xact_id()")
        span = None if quick else 4 * SPAN
        found["long"] = drained(system, "noop", 1, quick=quick, span=span)
    system.empty()
    finish(system, QUICK_MANY if quick else MANY)
    found["many"] = drained(system, "noop", 1, quick=quick)
    return found


def finish(system: System, rows: int) -> None:
    """Let one task run, copy it, and let the planner know of them."""
    assert system.table is not None
    system.enqueue("noop", 1)
    with started(system.workers(1)) as workers:
        while system.finished() < 1:
            workers.check()
            time.sleep(0.05)
    model = {m._meta.db_table: m for m in apps.get_models()}[system.table]
    copy(model, model._base_manager.all()[0].pk, rows)
