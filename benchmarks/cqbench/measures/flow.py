"""Limits and turns: what they cost, and how well they are kept."""

from __future__ import annotations

import bisect
import json
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from statistics import quantiles
from typing import Any

from django.db import connection, transaction

from cq.limits.claims.claiming import LaneClaims
from cq.limits.claims.pairs import open_pairs
from cq.limits.newcomers import admit
from cq.models import Task
from cq.workers.lease import new_worker_id
from cqbench import limited, tasks
from cqbench.workers import WorkerProcess, started_worker, worker

KEYS, QUICK_KEYS, TASKS_OF_A_KEY = 100_000, 1_000, 10
BEHIND, QUICK_BEHIND, BESIDE, QUICK_BESIDE = 1_000_000, 20_000, 20_000, 2_000
RATE, BURST, SECONDS, QUICK_SECONDS = 100, 20, 60, 5
TENANTS, STARTS = 1_000, 10_000
PLACES, QUICK_PLACES = 200, 30


def measure(quick: bool) -> dict[str, float]:
    found = {"keys": _keys(QUICK_KEYS if quick else KEYS)}
    found |= _beside(*((QUICK_BEHIND, QUICK_BESIDE) if quick else (BEHIND, BESIDE)))
    found |= _rate(QUICK_SECONDS if quick else SECONDS)
    found["jain"] = _jain(QUICK_BEHIND if quick else BEHIND)
    found |= _free(QUICK_PLACES if quick else PLACES)
    return found


def _empty() -> None:
    """Leave nothing of the part before, and let the planner know what there is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE cq_tasks, cq_lanes, cq_places, cq_limit_keys, cq_attempts"
        )


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE cq_tasks")


def _many(task: Any, calls: list[tuple[Any, ...]]) -> Task:
    """Record these calls, at once; the last of them."""
    last: Task = task.delay_many(calls)[-1]
    return last


def _two(stack: ExitStack) -> WorkerProcess:
    first = stack.enter_context(worker())
    stack.enter_context(worker())
    return first


def _keys(count: int) -> float:
    """Tasks a second of many keys, by two workers."""
    _empty()
    calls = [(n % count,) for n in range(count * TASKS_OF_A_KEY)]
    with ExitStack() as stack:
        process = _two(stack)
        with transaction.atomic():
            _many(limited.one_at_once, calls)
            began = time.perf_counter()
        left = Task.objects.filter(status="QUEUED")
        process.until(lambda: not left.exists(), "the end of all", pause=0.2)
        return len(calls) / (time.perf_counter() - began)


def _beside(behind: int, count: int) -> dict[str, float]:
    """How much longer no-op tasks take beside as many behind a full key.

    And what a claim of another key reads there.
    """
    rows = 0
    calls = [(number,) for number in range(count)]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.NamedTemporaryFile() as file:
        for full in (False, True, False, True):
            _empty()
            with (
                worker("--exclude-queues", "held") as process,
                started_worker("--queues", "held"),
            ):
                if full:
                    # Another worker has the place: each slot of this one is free.
                    limited.behind_full.using(queue="held").delay(file.name)
                    runs = Task.objects.filter(status="RUNNING")
                    process.until(runs.exists, "the key to be full")
                    _many(limited.behind_full, [()] * behind)
                    process.until(_all_are_listed, "the lane")
                _analyze()
                with transaction.atomic():
                    _many(tasks.noop, calls)
                    began = time.perf_counter()
                process.until(_nothing_is_left_of_them, "the end of them", pause=0.05)
                seconds[full].append(time.perf_counter() - began)
                rows = _rows_of_a_claim() if full else rows
                Task.objects.filter(name=limited.behind_full.name).delete()
                process.kill()
    ratio = min(seconds[True]) / min(seconds[False])
    return {"beside": ratio, "claim_rows": rows}


def _rows_of_a_claim() -> int:
    """The rows, and entries of indexes, that a claim of a key reads which is not full."""
    using = connection.alias
    with transaction.atomic():
        limited.one_at_once.using(queue="other").delay(1)
        admit(using)
        before = _rows_read()
        [pair] = open_pairs(using, ["other"], None)
        assert LaneClaims(using, new_worker_id()).claim(pair, 1).tasks
        rows = _rows_read() - before
        transaction.set_rollback(True)
    return rows


def _rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " JOIN pg_class t ON t.oid = COALESCE(i.indrelid, c.oid)"
            " WHERE t.relname = ANY(%s)",
            [["cq_tasks", "cq_lanes", "cq_places", "cq_limit_keys"]],
        )
        return int(cursor.fetchone()[0])


def _all_are_listed() -> bool:
    newcomers = Task.objects.filter(status="QUEUED", lane__isnull=False)
    return not newcomers.filter(listed__isnull=True).exists()


def _nothing_is_left_of_them() -> bool:
    return not Task.objects.filter(status="QUEUED", name=tasks.noop.name).exists()


def _rate(seconds: int) -> dict[str, float]:
    """Starts under a rate, by two workers, while there is more to do than it allows."""
    _empty()
    with ExitStack() as stack:
        _two(stack)
        _many(limited.call_api, [()] * (RATE * seconds + 10 * BURST))
        time.sleep(seconds + 1)
    started = Task.objects.filter(name=limited.call_api.name, started__isnull=False)
    moments: list[Any] = sorted(started.values_list("started", flat=True))
    at = [(moment - moments[0]).total_seconds() for moment in moments]
    within = [moment for moment in at if moment < seconds]
    most = max(bisect.bisect_left(at, moment + 1.0) - n for n, moment in enumerate(at))
    allowed = BURST + RATE * seconds
    return {
        "starts": len(within),
        "window": most,
        "used": len(within) / allowed,
    }


def _jain(most: int) -> float:
    """Jain's index of the first starts of tenants, of whom one has very many tasks."""
    _empty()
    _many(limited.of_tenant, [(0, number) for number in range(most)])
    _many(
        limited.of_tenant,
        [(n % TENANTS, n) for n in range(2 * STARTS) if n % TENANTS],
    )
    _analyze()
    of_tenants = Task.objects.filter(name=limited.of_tenant.name, started__isnull=False)
    with started_worker() as process:
        process.until(lambda: of_tenants.count() >= STARTS, "the starts", pause=0.1)
        process.kill()
    first = of_tenants.order_by("started", "pk").values_list("args", flat=True)[:STARTS]
    starts = Counter(json.loads(str(args))[0] for args in first)
    total = sum(starts.values())
    return total**2 / (TENANTS * sum(count**2 for count in starts.values()))


def _free(count: int) -> dict[str, float]:
    """From the end of a run to the start of the next one under its key, by two workers."""
    _empty()
    with ExitStack() as stack:
        process = _two(stack)
        process.until_settled(_many(limited.one_at_once, [(1, 0.03)] * count))
    rows = Task.objects.filter(name=limited.one_at_once.name).order_by("started")
    moments: list[Any] = list(rows.values_list("started", "finished"))
    waits = [
        (later - finished).total_seconds() * 1000
        for (_, finished), (later, _) in pairwise(moments)
    ]
    percentiles = quantiles(waits, n=20)
    return {"free": percentiles[9], "free_p95": percentiles[18]}
