"""The depths of queues, as one worker finds them each minute: kept, and read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import F, Max, Q

from cq.tables.queries import depths

from .steps import DEPTHS_KEPT, MINUTE, TEN_MINUTES, minute_of, moment_of, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .steps import Span

#: The name under which all queues together are kept.
ALL = ""
#: Columns of which several minutes have the most.
FOLDED = ("waiting", "capped", "running", "slots", "age")
#: Queues of one minute, those with the most waiting tasks.
MOST_QUEUES = 1_000
#: Queues whose history is read at once.
MOST_HISTORIES = 100
#: Minutes back from a moment in which it is looked for what was found last.
LOOK_BACK = 3


@dataclass(frozen=True, slots=True)
class Depth:
    """One queue at one moment, or all of them together.

    waiting: queued tasks; capped: there may be more. slots: of the workers that serve it.
    age: seconds that the oldest had been ready for. oldest: since when, where that is known.
    """

    waiting: int = 0
    capped: bool = False
    running: int = 0
    slots: int = 0
    age: float = 0.0
    oldest: datetime | None = None


EMPTY = Depth()


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at `time`, the beginning of that minute, or of those ten.

    queues: those in which a task was waiting or running.
    """

    time: datetime
    total: Depth
    queues: dict[str, Depth]


# --- kept -----------------------------------------------------------------------------


def begin(using: str, minute: int) -> bool:
    """Take it on to count the queues in this minute; False where somebody else has."""
    if depths(using).filter(step=MINUTE, slot=minute, queue=ALL).exists():
        return False
    connection = connections[using]
    ignore, otherwise = "", " ON CONFLICT DO NOTHING"
    if connection.vendor == "mysql":
        ignore, otherwise = " IGNORE", ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT{ignore} INTO cq_depths (step, slot, queue) VALUES (%s, %s, %s)"
            f"{otherwise}",
            [MINUTE, minute, ALL],
        )
        return bool(cursor.rowcount == 1)


def keep(using: str, minute: int, total: Depth, queues: Mapping[str, Depth]) -> None:
    """Store what was found by who has begun this minute."""
    model = depths(using).model
    most = sorted(queues.items(), key=lambda found: (-found[1].waiting, found[0]))
    rows = [
        model(step=MINUTE, slot=minute, queue=queue, **_columns(depth))
        for queue, depth in sorted(most[:MOST_QUEUES])
    ]
    with transaction.atomic(using=using):
        depths(using).bulk_create(rows)
        mine = depths(using).filter(step=MINUTE, slot=minute, queue=ALL)
        mine.update(**_columns(total))


def _columns(depth: Depth) -> dict[str, Any]:
    return {
        "waiting": depth.waiting,
        "capped": int(depth.capped),
        "running": depth.running,
        "slots": depth.slots,
        "age": depth.age,
        "oldest": depth.oldest,
    }


# --- read -----------------------------------------------------------------------------


def found_at(using: str, moment: datetime) -> Found | None:
    """Return what was last found up to a moment, the present one or another.

    None where nobody has looked within the minutes before it. Minutes that are folded
    give the most of ten.
    """
    minute = minute_of(moment)
    looks = (
        depths(using)
        .filter(
            Q(step=MINUTE, slot__lte=minute, slot__gt=minute - LOOK_BACK)
            | Q(step=TEN_MINUTES, slot=slot_of(minute, TEN_MINUTES)),
            queue=ALL,
            waiting__isnull=False,
        )
        .order_by("step", "-slot")
    )
    rows = list(
        depths(using)
        .filter(step=looks.values("step")[:1], slot=looks.values("slot")[:1])
        .order_by("-waiting")
        .values_list("slot", "queue", *_columns(EMPTY))[: MOST_QUEUES + 1]
    )
    if not rows:
        return None
    queues = {queue: _depth(*columns) for _, queue, *columns in rows}
    return Found(moment_of(rows[0][0]), queues.pop(ALL), queues)


def history(
    using: str, span: Span, queues: Iterable[str] = ()
) -> dict[str, list[tuple[datetime, Depth | None]]]:
    """Return each slot of a span of these queues, and of `ALL`; one statement.

    None where nobody has looked; of several minutes the most of each. Raises ValueError
    for more than `MOST_HISTORIES` queues.
    """
    wanted = {ALL, *queues}
    if len(wanted) > MOST_HISTORIES + 1:
        raise ValueError(
            f"{len(wanted) - 1} queues are more than {MOST_HISTORIES}; read them in parts"
        )
    rows = (
        depths(using)
        .filter(
            step__in=[*DEPTHS_KEPT],
            slot__gte=span.since,
            slot__lt=span.until,
            queue__in=sorted(wanted),
            waiting__isnull=False,
        )
        .values_list("queue", F("slot") - F("slot") % span.step)
        .annotate(*(Max(column) for column in FOLDED))
    )
    found = {(queue, slot): _depth(*most) for queue, slot, *most in rows}
    return {
        queue: [
            (
                moment_of(slot),
                # Where somebody has looked, a queue that has no row had nothing.
                found.get((queue, slot), EMPTY if (ALL, slot) in found else None),
            )
            for slot in span.slots
        ]
        for queue in sorted(wanted)
    }


def _depth(
    waiting: int,
    capped: int,
    running: int,
    slots: int,
    age: float,
    oldest: datetime | None = None,
) -> Depth:
    return Depth(waiting, bool(capped), running, slots, age, oldest)
