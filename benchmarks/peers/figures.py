"""The workloads, and what each of them finds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One number: what it is, its unit, and which end is the better one."""

    what: str
    unit: str
    better: Literal["more", "less"]


@dataclass(frozen=True)
class Workload:
    """Measured by ``peers.workloads.<name>``.

    limit: whether the bare loop can do it. rounds: in which it is measured: the first one
    for what takes long or does not change, or all of them for cq and the loop alone.
    mode: what the systems are told it is, by CQ_BENCH_MODE: some have settings for it.
    only: the systems that do it; None: all.
    """

    title: str
    figures: dict[str, Figure]
    limit: bool = False
    rounds: Literal["all", "cq", "one"] = "all"
    mode: Literal["busy", "single", "idle", "killed"] = "busy"
    only: tuple[str, ...] | None = None


def _rate(what: str) -> dict[str, Figure]:
    return {"rate": Figure(what, "tasks/s", "more")}


WORKLOADS = {
    "enqueue": Workload("Enqueue, one by one", _rate("enqueued"), limit=True),
    "bulk": Workload("Enqueue 20,000 at once", _rate("enqueued"), limit=True),
    "drain1": Workload("No-op tasks, one process", _rate("run"), limit=True),
    "drain2": Workload("No-op tasks, two processes", _rate("run"), limit=True),
    "writes2": Workload(
        "Atomic tasks that write a row by the ORM, two slots", _rate("run"), limit=True
    ),
    "writes4": Workload(
        "The same, four slots", _rate("run"), limit=True, only=("cq", "limit")
    ),
    "latency": Workload(
        "Latency of an idle system",
        {
            "start_p50": Figure("call to start, p50", "ms", "less"),
            "start_p99": Figure("call to start, p99", "ms", "less"),
            "result_p50": Figure("call to result, p50", "ms", "less"),
            "result_p99": Figure("call to result, p99", "ms", "less"),
        },
        limit=True,
        rounds="cq",
        mode="single",
    ),
    "fanout": Workload(
        "One parent, its children, one callback",
        {
            "seconds_1000": Figure("1,000 children", "s", "less"),
            "seconds_10000": Figure("10,000 children", "s", "less"),
            "seconds_100000": Figure("100,000 children", "s", "less"),
        },
        rounds="cq",
    ),
    "history": Workload(
        "No-op tasks, one process, with a past",
        {
            "few": Figure("10,000 finished rows", "tasks/s", "more"),
            "many": Figure("1,000,000 finished rows", "tasks/s", "more"),
            "long": Figure("beside a long transaction", "tasks/s", "more"),
        },
        rounds="one",
    ),
    "idle": Workload(
        "Two idle slots",
        {
            "memory": Figure("memory (PSS)", "MiB", "less"),
            "cpu": Figure("CPU a minute", "s", "less"),
            "queries": Figure("statements and commands", "/s", "less"),
        },
        rounds="one",
        mode="idle",
    ),
    "recovery": Workload(
        "200 tasks of 50 ms, everything killed -9 once",
        {
            "lost": Figure("not back in time", "tasks", "less"),
            "doubled": Figure("done twice", "tasks", "less"),
            "seconds": Figure("whole again, beyond the work", "s", "less"),
        },
        rounds="one",
        mode="killed",
    ),
}
