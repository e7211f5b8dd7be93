"""The verbs that look: list, next."""

from __future__ import annotations

from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db.models import F, Max

from cq.cli.output import shown
from cq.cli.verb import Verb, add_format, positive
from cq.conf import conf
from cq.db.clock import database_now
from cq.display.redaction import Redaction, Revealed
from cq_scheduler.actions.import_export import EXPORTED_COLUMNS, json_value
from cq_scheduler.cron import CronError
from cq_scheduler.models import RepeatingTask, schedules
from cq_scheduler.timing.preview import Coming, coming
from cq_scheduler.timing.when import in_words

from .lookup import add_schedules, find_all

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from cq.cli.output import Output

# --- list -----------------------------------------------------------------------------

COLUMNS = ("id", "name", "schedule", "timezone", "state", "next_run", "last_run")


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--name", help="of this task only, as `name` in the list")
    parser.add_argument(
        "--state",
        choices=("enabled", "paused", "disabled"),
        help="only those that are so; paused ones are disabled with a reason",
    )
    parser.add_argument(
        "--reveal",
        action="store_true",
        help="with --format json: arguments that are hidden by their name, too",
    )
    add_format(parser)


def list_schedules(output: Output, options: dict[str, Any]) -> None:
    """Show the schedules, with remarks below on what is wrong with them."""
    found = schedules(conf.DATABASE).order_by("name", "pk")
    if options["name"] is not None:
        found = found.filter(name=options["name"])
    now = database_now(conf.DATABASE)
    rows = [
        summary(row, reveal=options["reveal"]) | {"overdue": row.is_overdue(now)}
        for row in found
    ]
    if options["state"] is not None:
        rows = [row for row in rows if row["state"] == options["state"]]
    if output.as_json:
        output.json(rows)
        return
    if not rows:
        output.line("no such schedules")
        return
    output.table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    for row in rows:
        for text in remarks(row):
            output.line(f"{row['id']}: {text}")


def summary(row: RepeatingTask, *, reveal: bool) -> dict[str, Any]:
    """Return what a list says of one. Its names are kept from release to release."""
    redaction = Revealed() if reveal else Redaction(row.name)
    return {
        "id": row.pk,
        **{name: json_value(row, name) for name in EXPORTED_COLUMNS},
        "args": redaction.args(json_value(row, "args")),
        "kwargs": redaction.kwargs(json_value(row, "kwargs")),
        "schedule": in_words(row),
        "state": state(row),
        "last_run": row.last_run,
        "next_run": row.next_run,
        "last_error": redaction.text(row.last_error),
        "missed_from": row.missed_from,
        "missed_until": row.missed_until,
        "last_coalesced": row.last_coalesced,
        "key": row.key,
    }


def remarks(row: dict[str, Any]) -> Iterator[str]:
    """Give what people have to know of one that a list has summed up."""
    if row["overdue"]:
        yield "overdue: does a worker or cqscheduler run?"
    if row["last_error"]:
        yield row["last_error"]
    if row["pause_reason"]:
        yield row["pause_reason"]
    if row["paused_until"]:
        yield f"paused until {shown(row['paused_until'])}"


def state(row: RepeatingTask) -> str:
    """Return enabled, paused or disabled."""
    if row.enabled:
        return "enabled"
    return "disabled" if row.paused_at is None else "paused"


# --- next -----------------------------------------------------------------------------


def _next_arguments(parser: ArgumentParser) -> None:
    add_schedules(parser, nargs="*")
    parser.add_argument(
        "-n", "--number", type=int, default=10, help="how many slots (default 10)"
    )
    add_format(parser)


def next_slots(output: Output, options: dict[str, Any]) -> None:
    """Show the next slots of all schedules, or of those that are named."""
    using = conf.DATABASE
    number = positive("--number", options["number"])
    broken: list[str] = []
    if options["schedules"]:
        now = database_now(using)
        rows = find_all(using, options["schedules"])
        slots = list(islice(merge(*(_slots_of(row, now) for row in rows)), number))
    else:
        slots, broken = _earliest(using, number)
    found = [(coming, row) for *_, coming, row in slots]
    if output.as_json:
        output.json([_as_json(*one) for one in found])
        return
    if found:
        output.table(
            ("slot", "clock", "schedule", "name"), [_as_row(*one) for one in found]
        )
    else:
        output.line("no slot is to come")
    for line in broken:
        output.line(line)


#: Sorted by slot, and by the schedule's id where two have the same.
_Slot = tuple[datetime, int, Coming, RepeatingTask]


def _earliest(using: str, number: int) -> tuple[list[_Slot], list[str]]:
    """Return the next slots of all schedules, without working out those of each.

    And what is wrong with those that have none because of it.
    """
    now = database_now(using)
    rows = schedules(using).filter(enabled=True)
    most = rows.aggregate(most=Max("jitter"))["most"] or 0
    found: list[_Slot] = []
    broken: list[str] = []
    in_order = rows.order_by(F("next_run").asc(nulls_first=True), "pk")
    for row in in_order.iterator(500):
        # Rows come by their next run, which is at most the jitter later than the slot.
        if row.next_run is not None and len(found) == number:
            first = row.next_run - timedelta(seconds=most)
            if (first, row.pk) > found[-1][:2]:
                break
        try:
            found = sorted([*found, *islice(_slots(row, now), number)])[:number]
        except CronError as error:
            broken.append(f"schedule {row.pk}, {row}: {error}")
    return found, broken


def _slots_of(row: RepeatingTask, now: datetime) -> Iterator[_Slot]:
    try:
        yield from _slots(row, now)
    except CronError as error:
        raise CommandError(f"schedule {row.pk}, {row}: {error}") from None


def _slots(row: RepeatingTask, now: datetime) -> Iterator[_Slot]:
    """Give the slots of one. Without the jitter: the moments that the schedule names."""
    for slot in coming(row, now):
        yield slot.slot, row.pk, slot, row


def _as_json(slot: Coming, row: RepeatingTask) -> dict[str, Any]:
    return {
        "schedule": row.pk,
        "name": row.name,
        "slot": slot.slot,
        "local": slot.local.isoformat(),
        "timezone": row.timezone,
        "clock_change_seconds": slot.change.total_seconds(),
        "skipped": slot.skipped and slot.skipped.isoformat(),
        "twice": slot.twice,
    }


def _as_row(slot: Coming, row: RepeatingTask) -> tuple[Any, ...]:
    return slot.local, clock_in_words(slot), row.pk, row.name


def clock_in_words(slot: Coming) -> str:
    """Return what daylight saving does to a slot; - for nothing."""
    said = []
    if slot.change:
        said.append(change_in_words(slot.change))
    if slot.skipped is not None:
        said.append(f"no {slot.skipped:%H:%M}")
    if slot.twice:
        said.append("2nd of 2" if slot.local.fold else "1st of 2")
    return ", ".join(said) or "-"


def change_in_words(change: timedelta) -> str:
    """Return `+1:00` for a clock that has been put forward by an hour."""
    minutes = round(change.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'+' if minutes > 0 else '-'}{hours}:{rest:02}"


VERBS = (
    Verb("list", "all schedules", _list_arguments, list_schedules),
    Verb("next", "the next slots, of all or of some", _next_arguments, next_slots),
)
