"""What a task costs PostgreSQL: its WAL, its CPU, its transactions, and room on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction

from cqbench import tasks
from cqbench.processes import cpu, postgres
from cqbench.workers import worker

if TYPE_CHECKING:
    from cqbench.workers import WorkerProcess

COUNT, QUICK = 10_000, 1_000


class Spent(NamedTuple):
    """What the server has spent so far."""

    wal: float  # bytes
    cpu: float  # seconds, of all its processes
    transactions: float

    def each(self, since: Spent, count: int) -> Spent:
        return Spent(*((a - b) / count for a, b in zip(self, since, strict=True)))


def measure(quick: bool) -> dict[str, float]:
    count = QUICK if quick else COUNT
    began = spent()
    for number in range(count):
        tasks.noop.delay(number)
    single = spent().each(began, count)
    with worker("--threads", "2") as process:
        bulk, noop = drained(process, tasks.noop, count)
        _, write = drained(process, tasks.write, count)
        rows, table, indexes = sizes()
    return {
        "delay_wal": single.wal,
        "delay_cpu": single.cpu * 1000,
        "bulk_wal": bulk.wal,
        "bulk_cpu": bulk.cpu * 1000,
        "noop_wal": noop.wal,
        "noop_cpu": noop.cpu * 1000,
        "noop_transactions": noop.transactions,
        "write_wal": write.wal,
        "write_cpu": write.cpu * 1000,
        "write_transactions": write.transactions,
        "table": table / rows,
        "indexes": indexes / rows,
    }


def drained(process: WorkerProcess, task: Any, count: int) -> tuple[Spent, Spent]:
    """Return what each of `count` tasks costs on its way in, and until it settles."""
    began = spent()
    with transaction.atomic():
        queued = task.delay_many([(number,) for number in range(count)])
        made = spent()
    process.until_settled(queued[-1])
    return made.each(began, count), spent().each(made, count)


def spent() -> Spent:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'), xact_commit "
            "FROM pg_stat_database WHERE datname = current_database()"
        )
        wal, transactions = cursor.fetchone()
    return Spent(float(wal), cpu(postgres()), float(transactions))


def sizes() -> tuple[int, int, int]:
    """Return the rows of cq_tasks, and the bytes of the table and of its indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), pg_table_size('cq_tasks'), pg_indexes_size('cq_tasks') "
            "FROM cq_tasks"
        )
        rows, table, indexes = cursor.fetchone()
        return rows, table, indexes
