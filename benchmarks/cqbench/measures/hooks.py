"""No-op tasks with a middleware and two carriers around each, against none of these."""

from __future__ import annotations

from cqbench.turns.side import Side
from cqbench.turns.taking import compare, show


def measure(quick: bool) -> dict[str, float]:
    plain = Side("plain")
    hooked = Side("hooked", environment={"CQ_BENCH_HOOKS": "1"})
    found = compare("no-op tasks, with hooks", "noop", plain, hooked, quick=quick)
    show([found])
    without, with_them = found.cpus
    return {**found.figures("noop"), "cpu": (with_them - without) * 1000}
