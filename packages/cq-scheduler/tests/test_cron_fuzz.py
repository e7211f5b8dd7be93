"""Ten thousand lines, from the plausible to the hostile: what they cost and cause."""

from __future__ import annotations

import random
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
import repeating_samples
from cron_mangling import BYTES, SECONDS, mangled
from cron_oracle import ZONES

from cq_scheduler.cron import lines as cron_lines
from cq_scheduler.cron import next_run
from cq_scheduler.declaring.schedule_task import schedule_task
from cq_scheduler.models import RepeatingTask
from cq_scheduler.ticker.tick import tick

FIELDS = ("minute", "hour", "day of month", "month", "day of week", "crontab")


def outcome(line: str, zone: str, after: datetime) -> datetime | str:
    """What the line gives; of a refusal, its words."""
    try:
        return next_run(line, after, zone)
    except ValueError as error:
        return str(error)


def seconds(line: str, zone: str, after: datetime) -> float:
    """What the line costs, of CPU.

    More than is promised is measured again: a busy machine can add to a line's cost, and
    never takes from it.
    """
    least = 1.0
    for _ in range(10):
        cron_lines._parse.cache_clear()
        started = time.thread_time()
        outcome(line, zone, after)
        least = min(least, time.thread_time() - started)
        if least < SECONDS:
            break
    return least


@pytest.mark.backend("sqlite")
def test_row_s15_ten_thousand_lines_fire_or_are_refused_with_a_reason() -> None:
    rng = random.Random("fuzz")
    fired, refused, slowest = 0, 0, (0.0, "")
    for _ in range(10_000):
        line, zone = mangled(rng), rng.choice(ZONES)
        after = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(
            minutes=rng.randrange(52_000_000)
        )
        slowest = max(slowest, (seconds(line, zone, after), line))
        found = outcome(line, zone, after)
        if isinstance(found, str):
            field, _, reason = found.partition(": ")
            assert field in FIELDS, line
            assert reason, line
            refused += 1
        else:
            assert after < found < after + timedelta(days=366 * 50), line
            assert not found.second, line
            fired += 1
    assert fired > 2_000, fired
    assert refused > 2_000, refused
    assert slowest[0] < SECONDS, slowest


@pytest.mark.backend("sqlite")
def test_row_s15_no_line_takes_much_memory() -> None:
    rng = random.Random("memory")
    lines = [mangled(rng) for _ in range(200)]
    lines += [
        "1," * 5_000_000,
        "1--100000000 * * * *",
        ",".join(map(str, range(60))) + " 0-23 1-31 1-12 */1",
        "59 23 */31 * L1,L2,L3,L4,L5,L6,L0",
        "0 0 29 2 */7",
    ]
    worst = (0, "")
    tracemalloc.start()
    try:
        for line in lines:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            outcome(line, "Europe/Paris", datetime(2027, 1, 1, tzinfo=UTC))
            _, peak = tracemalloc.get_traced_memory()
            worst = max(worst, (peak - before, line[:300]))
    finally:
        tracemalloc.stop()
    assert 0 < worst[0] < BYTES, worst


@pytest.mark.django_db
def test_row_54_no_line_in_a_row_keeps_the_tick_from_the_others() -> None:
    rng = random.Random("rows")
    now = datetime(2027, 1, 1, 12, tzinfo=UTC)
    good = schedule_task(RepeatingTask, "* * * * *", repeating_samples.nightly)
    lines = [line for line in map(mangled, [rng] * 300) if storable(line)][:100]
    rows = RepeatingTask.objects.bulk_create(
        # Written past every check, as by SQL.
        RepeatingTask(name=good.name, crontab=line, next_run=now)
        for line in lines
    )
    RepeatingTask.objects.filter(pk=good.pk).update(next_run=now)
    tick("default", now, limit=1000)
    good.refresh_from_db()
    assert good.last_run == now
    assert good.next_run == now + timedelta(minutes=1)
    refused = 0
    for row in rows:
        line, zone = row.crontab, row.timezone
        row.refresh_from_db()
        found = outcome(line, zone, now)
        if isinstance(found, str):
            assert (row.enabled, row.next_run, row.last_error) == (False, None, found)
            refused += 1
        else:
            assert (row.enabled, row.next_run, row.last_error) == (True, found, "")
    assert 20 < refused < 80


def storable(line: str) -> bool:
    """Whether every database takes it into the column."""
    return len(line) <= 256 and "\0" not in line
