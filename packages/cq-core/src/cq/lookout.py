"""Looks, in one statement, whether there is anything to do at all.

An idle worker asks every second, and nearly always the answer is no; each part of it
costs the look into an index that is empty then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from .clock import moment
from .locks import UNLOCKED, can_lock

if TYPE_CHECKING:
    from datetime import datetime


class Work(NamedTuple):
    """What is there to do now."""

    due: bool  # tasks whose time has come, or is over
    queued: bool
    unlocked: bool  # workers that may be dead


class Leftovers(NamedTuple):
    """What a sweep may find something in: where there is none, it has nothing to do."""

    claimed: bool
    waiting: bool
    pending: bool
    edges: bool


def work(using: str, now: datetime | None = None) -> Work:
    """Look for what should not wait for the next sweep."""
    connection = connections[using]
    now_sql, params = moment(connection, now)
    unlocked = "1 = 0"
    if can_lock(using):
        unlocked = f"EXISTS (SELECT 1 FROM cq_workers WHERE locked AND {UNLOCKED})"
    sql = (
        "EXISTS (SELECT 1 FROM cq_tasks WHERE status IN ('PENDING', 'RETRY')"
        f" AND run_after IS NOT NULL AND run_after <= (SELECT {now_sql}))"
        " OR EXISTS (SELECT 1 FROM cq_tasks WHERE status IN ('PENDING', 'QUEUED')"
        f" AND expires IS NOT NULL AND expires <= (SELECT {now_sql})),"
        " EXISTS (SELECT 1 FROM cq_tasks WHERE status = 'QUEUED'),"
        f" {unlocked}"
    )
    return Work(*_ask(connection, sql, [*params, *params]))


def leftovers(using: str) -> Leftovers:
    """Look for what a sweep would have to look at more closely."""
    sql = (
        "EXISTS (SELECT 1 FROM cq_tasks WHERE worker_id IS NOT NULL),"
        " EXISTS (SELECT 1 FROM cq_tasks WHERE status = 'WAITING'),"
        " EXISTS (SELECT 1 FROM cq_tasks WHERE status = 'PENDING'),"
        " EXISTS (SELECT 1 FROM cq_edges WHERE met IS NULL)"
    )
    return Leftovers(*_ask(connections[using], sql, []))


def _ask(connection: Any, sql: str, params: list[Any]) -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", params)
        return [bool(found) for found in cursor.fetchone()]
