"""What a claim costs beside very many that wait behind a full key: what it costs beside few."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from django.db import connection
from forced import forced_many
from laned import lane_id
from plans import analyze, plan, reads_all, rows_read

from cq.limits import places
from cq.limits.claims.pairs import open_pairs
from cq.limits.holding import open_lanes
from cq.limits.newcomers import admit
from cq.maintenance import probe
from cq.models import Lane, LimitKey, Place, Task
from cq.status import Status
from cq.workers.claim_order import claim_next

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db

DB = "default"
TABLES = ("cq_tasks", "cq_lanes", "cq_places", "cq_limit_keys")
FEW, VERY_MANY = 40, 4_000
FULL = "full"


class Cost(NamedTuple):
    """What something has sent, and the rows and entries of indexes that it has read."""

    statements: list[tuple[str, Any]]
    rows: int

    @property
    def texts(self) -> list[str]:
        """The statements, without the numbers that savepoints have."""
        return [
            re.sub(r'"s\d+_x\d+"|`s\d+_x\d+`', "", sql) for sql, _ in self.statements
        ]


def cost(what: Callable[[], Any]) -> Cost:
    sent: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, many, context)

    before = rows_read(*TABLES)
    with connection.execute_wrapper(note):
        what()
    return Cost(sent, rows_read(*TABLES) - before)


def waiting(count: int, number: int, key: str, **values: Any) -> list[Task]:
    """Tasks in a lane of their own, of which one may run at once; values: of the lane."""
    lane = lane_id(number)
    options = {"limits": [[key, {"concurrency": 1}]]}
    made = forced_many(count, Status.QUEUED, lane=lane, listed=True, options=options)
    first = made[0]
    Lane._base_manager.create(
        queue=first.queue,
        priority=first.priority,
        lane=lane,
        name=first.name,
        options=options,
        head=first.pk,
        **values,
    )
    return made


def behind_a_full_key(count: int) -> Place:
    """Have so many wait behind it; the place that is taken."""
    [running] = forced_many(1, Status.RUNNING)
    waiting(count, 1, FULL, held_by=FULL)
    for number in range(2, 6):
        waiting(3, number, f"of {number}")
    forced_many(20, Status.QUEUED)
    analyze(*TABLES)
    return Place.objects.create(
        key=FULL, number=0, task=running.pk, fence=running.fence, worker=11
    )


def look_and_claim(claims: LaneClaims) -> list[Any]:
    """What a worker does that is rung for: of another key, with a slot that is free."""
    admit(DB)
    [pair] = open_pairs(DB, None, None)
    return claims.claim(pair, 1).tasks


def look_for_work(claims: LaneClaims) -> list[Any]:
    probe.urgent(DB)
    return claim_next(DB, claims.worker, 5)


def start_the_next(claims: LaneClaims) -> list[Any]:
    """What a worker does whose run has ended: the next one of the full key starts."""
    held = [places.Place(p.key, p.number, p.task, p.fence) for p in Place.objects.all()]
    # Others are not to be first.
    Lane.objects.exclude(held_by=FULL).update(held_by="elsewhere")
    open_lanes(DB, places.free(DB, held))
    [pair] = open_pairs(DB, None, None)
    return claims.claim(pair, 1).tasks


@pytest.mark.parametrize("what", [look_and_claim, look_for_work, start_the_next])
def test_it_is_the_same_however_many_wait_behind_a_full_key(
    claims: LaneClaims, what: Callable[[LaneClaims], list[Any]]
) -> None:
    found = []
    for count in (FEW, VERY_MANY):
        behind_a_full_key(count)
        # What belongs to no claim: it reads what is set of limits each half second.
        claims._overrides.now()
        claims._overrides._clock = lambda: claims._overrides._until - 0.1
        started: list[Any] = []
        found.append(cost(lambda: started.extend(what(claims))))  # noqa: B023
        assert started
        for model in (Task, Lane, Place, LimitKey):
            model._base_manager.all().delete()
    few, many = found
    assert many.texts == few.texts
    # What is gone since is passed over.
    assert many.rows <= few.rows + 5 * FEW


def test_no_statement_of_a_claim_reads_a_table_to_its_end(claims: LaneClaims) -> None:
    behind_a_full_key(VERY_MANY)
    sent = cost(lambda: look_and_claim(claims)).statements
    looks = [one for one in sent if "cq_" in one[0] and "SELECT" in one[0]]
    assert looks
    for sql, params in looks:
        if not any(table in sql for table in ("cq_tasks",)):
            continue  # of few rows a table is read at once
        if sql.startswith(("SELECT", "WITH")):
            assert not reads_all(plan(sql, params)), (sql, plan(sql, params))
