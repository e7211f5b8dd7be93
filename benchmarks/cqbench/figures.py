"""The benchmarks, what each of them finds out, and what cq aims at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One number. aim: what the median has to reach; None: it is only shown."""

    what: str
    unit: str = ""
    aim: float | None = None
    reach: Literal[">=", "<="] = "<="

    def met(self, value: float) -> bool | None:
        """Whether a value is within the aim; None where there is none."""
        if self.aim is None:
            return None
        return value >= self.aim if self.reach == ">=" else value <= self.aim


@dataclass(frozen=True)
class Benchmark:
    """Measured by ``cqbench.measures.<module>``, whose ``measure`` returns `figures`."""

    what: str
    module: str
    figures: dict[str, Figure]
    #: With a channel layer on Valkey, beside PostgreSQL.
    valkey: bool = False
    #: On SQLite instead.
    sqlite: bool = False
    #: The module of its settings.
    settings: str = "cqbench.settings"
    #: Takes minutes: measured only when it is named.
    long: bool = False


_LATENCY = {
    "p50": Figure("enqueue to start, idle: p50", "ms", 2.0),
    "p99": Figure("enqueue to start, idle: p99", "ms", 6.0),
}

BENCHMARKS = {
    "drain": Benchmark(
        "no-op tasks, one worker process",
        "drain",
        {
            "rate": Figure("no-op tasks run", "tasks/s", 8_000, ">="),
            "cpu": Figure("the worker's CPU for each", "ms"),
        },
    ),
    "writes": Benchmark(
        "atomic tasks that write one row by the ORM, 4 threads",
        "writes",
        {
            "rate": Figure("atomic tasks with one row written", "tasks/s", 1_900, ">="),
            "cpu": Figure("the worker's CPU for each", "ms"),
        },
    ),
    "enqueue": Benchmark(
        ".delay() against a bare create() of an equal row",
        "enqueue",
        {
            "ratio": Figure(".delay() / create(): time", "x", 1.5),
            "delay": Figure(".delay(), one by one", "tasks/s"),
            "create": Figure("create() of an equal row", "rows/s"),
        },
    ),
    "bulk": Benchmark(
        "delay_many() of many calls",
        "bulk",
        {"rate": Figure("delay_many()", "tasks/s", 60_000, ">=")},
    ),
    "children": Benchmark(
        "one parent with 10,000 children against one with 1,000",
        "children",
        {
            "ratio": Figure("time per child, 10,000 / 1,000", "x", 1.3),
            "cpu": Figure("CPU per child, 10,000 / 1,000", "x", 1.3),
            "many": Figure("a child of 10,000, end to end", "ms"),
            "few": Figure("a child of 1,000, end to end", "ms"),
        },
    ),
    "idle": Benchmark(
        "what a worker costs that has nothing to do",
        "idle",
        {
            "pss": Figure("idle worker: memory (PSS)", "MiB", 110.0),
            "rss": Figure("idle worker: memory (RSS)", "MiB"),
            "cpu": Figure("idle worker: CPU a minute", "s", 0.3),
            "statements": Figure("idle worker: statements", "/s", 3.0),
        },
    ),
    "latency": Benchmark(
        "enqueue to start, by NOTIFY of PostgreSQL", "latency", _LATENCY
    ),
    "latency-valkey": Benchmark(
        "enqueue to start, by a channel layer on Valkey",
        "latency",
        _LATENCY,
        valkey=True,
    ),
    "sqlite": Benchmark(
        "the same on SQLite: no-op tasks, and how long a site waits that enqueues beside",
        "sqlite",
        {
            "rate": Figure("SQLite: no-op tasks run", "tasks/s", 5_000, ">="),
            "p50": Figure("SQLite: .delay() beside a busy worker, p50", "ms"),
            "p99": Figure("SQLite: .delay() beside a busy worker, p99", "ms", 20.0),
            "writes": Figure("SQLite: atomic tasks with one row written", "tasks/s"),
            "writes_p99": Figure("SQLite: .delay() beside those, p99", "ms", 20.0),
        },
        sqlite=True,
    ),
    "schedules": Benchmark(
        "how late schedules are, and what a tick costs",
        "schedules",
        {
            "late": Figure("1,000 schedules over 20 s: late, p50", "ms"),
            "late_p99": Figure("the same, p99", "ms"),
            "late_max": Figure("the same, the latest", "ms", 250.0),
            "together": Figure("1,000 at one moment: the last of them", "ms"),
            "few": Figure("a tick, 100 due of 1,000", "ms"),
            "many": Figure("a tick, 100 due of 100,000", "ms"),
            "ratio": Figure("a tick: 100,000 / 1,000 schedules", "x", 1.5),
        },
    ),
    "cost": Benchmark(
        "what a task costs PostgreSQL",
        "cost",
        {
            "delay_wal": Figure(".delay(), one by one: WAL", "bytes"),
            "delay_cpu": Figure("the same: PostgreSQL's CPU", "ms"),
            "bulk_wal": Figure("delay_many(): WAL a task", "bytes"),
            "bulk_cpu": Figure("the same: PostgreSQL's CPU", "ms"),
            "noop_wal": Figure("a no-op task run: WAL", "bytes"),
            "noop_cpu": Figure("the same: PostgreSQL's CPU", "ms"),
            "noop_transactions": Figure("the same: transactions", ""),
            "write_wal": Figure("an atomic task with one row written: WAL", "bytes"),
            "write_cpu": Figure("the same: PostgreSQL's CPU", "ms"),
            "write_transactions": Figure("the same: transactions", ""),
            "table": Figure("cq_tasks, a finished task, before any vacuum", "bytes"),
            "indexes": Figure("the same: its indexes", "bytes"),
        },
    ),
    "recovery": Benchmark(
        "20 kills each: until what a dead process ran runs again; only when named",
        "recovery",
        {
            "child": Figure("a child, until its tasks run again: median", "s"),
            "child_max": Figure("the same, longest", "s", 3.0),
            "worker": Figure("a whole worker: median", "s"),
            "worker_max": Figure("the same, longest", "s", 5.0),
            "silent": Figure("a whole worker, heartbeats only: median", "s"),
            "silent_max": Figure("the same, longest", "s", 40.0),
        },
        long=True,
    ),
    "poison": Benchmark(
        "what other tasks wait while some kill their workers until they are LOST",
        "poison",
        {
            "quiet": Figure("tasks of 50 ms, call to end: p95", "ms"),
            "single": Figure("the same beside a task that kills workers", "ms"),
            "ratio": Figure("beside it / without", "x", 2.0),
            "longest": Figure("the longest of them", "s"),
            "together": Figure("beside five at once: p95", "ms"),
        },
        long=True,
    ),
    "storm": Benchmark(
        "what lines of a log cost the task that writes them",
        "storm",
        {
            "ratio": Figure("a task with a line each ms / without", "x", 1.1),
            "lines": Figure("its lines", "/s"),
            "storm": Figure("a task that does nothing but cqt.log(): lines", "/s"),
        },
        long=True,
    ),
    "claims": Benchmark(
        "claims among 1,000,000 ready tasks beside 5,000,000 finished ones",
        "claims",
        {
            "single_p50": Figure("a claim of one task: p50", "ms"),
            "single_p95": Figure("the same, p95", "ms", 10.0),
            "many_p50": Figure("a claim of 200: p50", "ms"),
            "many_p95": Figure("the same, p95", "ms"),
        },
        long=True,
    ),
    "pages": Benchmark(
        "the admin's pages of a tree of 100,000 beside 1,000,000 finished tasks",
        "pages",
        {
            "top": Figure("the page of its top-level task", "s", 1.0),
            "longest": Figure("the slowest of all other pages and lists", "s", 1.0),
        },
        settings="cqbench.admin_settings",
        long=True,
    ),
}
