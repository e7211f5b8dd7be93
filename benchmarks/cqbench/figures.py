"""The benchmarks, what each of them finds out, and what cq aims at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_Reach = Literal[">=", "<="]


@dataclass(frozen=True)
class Figure:
    """One number. aim: what the median has to reach; None: it is only shown."""

    what: str
    unit: str = ""
    aim: float | None = None
    reach: _Reach = "<="

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
    #: Has as many tasks as --tasks says, and rounds of its own: it is measured once.
    sized: bool = False
    #: Two sides take turns, which are its rounds: it is measured once.
    turns: bool = False
    #: One of them is the revision of --before.
    compares: bool = False


_LATENCY = {
    "p50": Figure("enqueue to start, idle: p50", "ms", 2.0),
    "p99": Figure("enqueue to start, idle: p99", "ms", 6.0),
}

_TURNS: dict[str, tuple[str, float | None, _Reach]] = {
    "noop_rate": ("no-op tasks/s", 0.97, ">="),
    "noop_cpu": ("the worker's CPU for each", 1.03, "<="),
    "write_rate": ("atomic tasks with a row/s", 0.97, ">="),
    "write_cpu": ("the worker's CPU for each", 1.03, "<="),
    "delay_rate": (".delay()/s", 0.97, ">="),
    "delay_cpu": ("the caller's CPU for each", 1.03, "<="),
    "rows_rate": ("rows/s without cq, to compare", None, "<="),
    "rows_cpu": ("CPU for each of them", None, "<="),
    "idle": ("CPU of an idle worker", 1.03, "<="),
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
    "hooks": Benchmark(
        "no-op tasks with a middleware and two carriers, one worker process",
        "hooks",
        {
            "noop_rate": Figure("with / without them: tasks/s", "x", 0.85, ">="),
            "noop_cpu": Figure("the worker's CPU for each", "x"),
            "cpu": Figure("what they cost the worker, a task", "ms"),
        },
        turns=True,
    ),
    "tenants": Benchmark(
        "tasks of two tenants of django-tenants, one worker process",
        "tenants",
        {
            "noop_rate": Figure("no-op, with / without tenants: tasks/s", "x"),
            "noop_cpu": Figure("the worker's CPU for each", "x", 1.1),
            "write_rate": Figure("one row by the ORM: tasks/s", "x"),
            "write_cpu": Figure("the worker's CPU for each", "x", 1.1),
        },
        turns=True,
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
    "urgent": Benchmark(
        "urgent tasks beside a backlog of 200,000 that is being run",
        "urgent",
        {
            "p50": Figure("enqueue to start, beside a backlog: p50", "ms"),
            "p95": Figure("enqueue to start, beside a backlog: p95", "ms", 150.0),
        },
    ),
    "queues": Benchmark(
        "10,000 queues with a task each, one worker process",
        "queues",
        {"rate": Figure("tasks of a queue each", "tasks/s", 2_000, ">=")},
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
    "flow": Benchmark(
        "limits and turns: many keys, one that is full, a rate, tenants",
        "flow",
        {
            "keys": Figure(
                "100,000 keys of concurrency 1, ten tasks each: two workers",
                "tasks/s",
                3_000,
                ">=",
            ),
            "beside": Figure(
                "no-op tasks beside 1,000,000 behind a full key / alone: time",
                "x",
                1.2,
            ),
            "claim_rows": Figure(
                "the same: rows that a claim of another key reads", "", 200
            ),
            "starts": Figure("rate 100/s, burst 20, 60 s, two workers: starts", ""),
            "window": Figure("the same: most in any second", "", 120),
            "used": Figure("the same: of what the rate allows", "x", 0.98, ">="),
            "jain": Figure(
                "1,000 tenants, one with 1,000,000: Jain's index of 10,000 starts",
                "",
                0.99,
                ">=",
            ),
            "free": Figure("a free place to the next start: p50", "ms", 10.0),
            "free_p95": Figure("the same, p95", "ms"),
        },
        long=True,
    ),
    "durable": Benchmark(
        "durable tasks: a step, a rerun, send(), sleepers that wake; beside DBOS",
        "durable",
        {
            "step": Figure(
                "a step / a transaction with the same INSERT: time", "x", 1.5
            ),
            "step_ms": Figure("a step that writes a row", "ms"),
            "bare_ms": Figure("a transaction that writes it", "ms"),
            "rerun": Figure("a rerun past 1,000 steps: p50", "ms", 100.0),
            "send": Figure("send() to the code behind wait_for(): p50", "ms", 15.0),
            "send_p95": Figure("the same, p95", "ms"),
            "wake": Figure(
                "100,000 due in one minute / without a sleep: tasks/s", "x", 0.8, ">="
            ),
            "woken": Figure("those that were asleep", "tasks/s"),
            "without": Figure("those without a sleep", "tasks/s"),
            "dbos": Figure("workflows of ten steps, cq / DBOS: rate", "x", 3.0, ">="),
            "workflows": Figure("cq's, one process of four threads", "/s"),
            "dbos_workflows": Figure("DBOS's, the same", "/s"),
        },
        long=True,
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
    "metrics": Benchmark(
        "a scrape of /metrics in a table of 5,000,000",
        "metrics",
        {
            "p50": Figure("a scrape: p50", "ms", 200.0),
            "p95": Figure("the same, p95", "ms"),
            "cpu": Figure("Python's CPU for it: p50", "ms"),
            "database": Figure("its statements: p50", "ms"),
            "statements": Figure("how many they are", "", 5),
        },
        long=True,
    ),
    "turns": Benchmark(
        "the working tree against --before, in turns of half a second",
        "turns",
        {
            f"{database}_{key}": Figure(f"{database}: {what}", "x", aim, reach)
            for database in ("postgres", "sqlite")
            for key, (what, aim, reach) in _TURNS.items()
        },
        turns=True,
        compares=True,
        long=True,
    ),
    "pages": Benchmark(
        "each page of the admin among 3,000,000 tasks, or --tasks",
        "pages",
        {
            "p50": Figure("the slowest page: p50", "ms", 300.0),
            "within": Figure("pages within 300 ms", "%", 100.0, ">="),
            "queries": Figure("the most statements of a page", "", 12),
            "statement": Figure("the slowest statement of a page", "ms", 100.0),
        },
        settings="cqbench.admin_settings",
        long=True,
        sized=True,
    ),
}
