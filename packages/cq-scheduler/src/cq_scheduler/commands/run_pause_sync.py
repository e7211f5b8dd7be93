"""The verbs that change schedules: run, pause, resume, sync."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.utils import timezone

from cq.cli.asker import login, note
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.errors import CQError
from cq_scheduler.actions import pause as pausing
from cq_scheduler.actions.retime import retime
from cq_scheduler.actions.run_now import run_now
from cq_scheduler.actions.sync import sync as sync_declared
from cq_scheduler.cron import CronError
from cq_scheduler.models import schedules
from cq_scheduler.timing.when import check_year

from .list_next import state, summary
from .lookup import add_schedules, find_all

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from cq.cli.output import Output
    from cq.models import Task
    from cq_scheduler.models import RepeatingTask

# --- run ------------------------------------------------------------------------------


def _run_arguments(parser: ArgumentParser) -> None:
    add_schedules(parser)
    add_format(parser)


def run(output: Output, options: dict[str, Any]) -> None:
    """Make a task of each schedule now; CommandError for those that cannot run."""
    using = conf.DATABASE
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    refused = []
    for row in find_all(using, options["schedules"]):
        try:
            task = run_now(row)
        except (CQError, ValueError, TypeError) as error:
            refused.append(f"{row.pk}, {row}: {error}")
            continue
        rows.append(
            {
                "schedule": row.pk,
                "name": row.name,
                "task": str(task.pk),
                "created": task.created,
            }
        )
        texts.append(_made_or_met(task))
    _note("run", [row["schedule"] for row in rows if row["created"]])
    if output.as_json:
        output.json(rows)
    for made, text in zip(rows, texts, strict=True) if not output.as_json else ():
        output.line(f"{made['schedule']}, {made['name']}: {text} {made['task']}")
    _refuse(refused)


def _made_or_met(task: Task) -> str:
    if task.created:
        return "made"
    met = "settled not long ago" if task.done else "not done yet"
    return f"{met}, so no other was made:"


# --- pause, resume --------------------------------------------------------------------


def _pause_arguments(parser: ArgumentParser) -> None:
    add_schedules(parser)
    parser.add_argument(
        "--reason", default="", help="kept for those who find it paused"
    )
    parser.add_argument("--by", help="who pauses it (default: your login)")
    parser.add_argument(
        "--until",
        type=_moment,
        metavar="TIME",
        help="resume it then by itself: 2027-01-31T08:00, by the clock of TIME_ZONE, or "
        "with an offset (default: somebody has to)",
    )
    add_format(parser)


def pause(output: Output, options: dict[str, Any]) -> None:
    """Pause each schedule; CommandError for those that make no tasks already."""
    by = login() if options["by"] is None else options["by"]

    def one(row: RepeatingTask) -> str | None:
        try:
            if pausing.pause(row, options["reason"], by, options["until"]):
                return None
        except ValueError as error:
            return str(error)
        return f"it is {state(row)} already"

    _change(output, options, "pause", one)


def _resume_arguments(parser: ArgumentParser) -> None:
    add_schedules(parser)
    add_format(parser)


def resume(output: Output, options: dict[str, Any]) -> None:
    """Resume each schedule; CommandError for those that cannot be."""

    def one(row: RepeatingTask) -> str | None:
        if row.enabled:
            return "it is enabled already"
        try:
            return None if pausing.resume(row) else "it has no slot to come"
        except CronError as error:
            return str(error)

    _change(output, options, "resume", one)


def _note(verb: str, changed: list[int]) -> None:
    ids = ", ".join(map(str, changed))
    note(f"cqscheduler {verb}", f"schedules {ids}", len(changed))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        check_year(moment)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not like 2027-01-31T08:00") from error
    return timezone.make_aware(moment) if moment.utcoffset() is None else moment


def _change(
    output: Output,
    options: dict[str, Any],
    verb: str,
    change: Callable[[RepeatingTask], str | None],
) -> None:
    """Change each; raises CommandError for those where it didn't go."""
    using = conf.DATABASE
    found = find_all(using, options["schedules"])
    reasons = {row.pk: change(row) for row in found}
    _note(verb, [pk for pk, reason in reasons.items() if reason is None])
    after = {
        row.pk: summary(row, reveal=False)
        for row in schedules(using).filter(pk__in=list(reasons))
    }
    if output.as_json:
        output.json([after[row.pk] | {"refused": reasons[row.pk]} for row in found])
    else:
        for row in found:
            if reasons[row.pk] is None:
                output.line(f"{row.pk}, {row}: {after[row.pk]['state']}")
    _refuse([f"{row.pk}, {row}: {reasons[row.pk]}" for row in found if reasons[row.pk]])


def _refuse(lines: list[str]) -> None:
    if lines:
        raise CommandError("\n".join(lines))


# --- sync -----------------------------------------------------------------------------


def sync(output: Output, options: dict[str, Any]) -> None:
    """Bring the rows of ``@repeat`` up to date, and next runs by today's tzdata."""
    using = conf.DATABASE
    retimed = retime(using)
    synced = {**sync_declared(using)._asdict(), "retimed": retimed}
    if output.as_json:
        output.json(synced)
    else:
        for what, keys in synced.items():
            for key in keys:
                output.line(f"{what}: {key}")
        if not any(synced.values()):
            output.line("all schedules are as the code declares them")
    if synced["refused"]:
        raise CommandError(
            f"{len(synced['refused'])} could not be stored; `manage.py check` says why"
        )


VERBS = (
    Verb(
        "run", "make a task of schedules now, beside their slots", _run_arguments, run
    ),
    Verb("pause", "let schedules make no more tasks", _pause_arguments, pause),
    Verb("resume", "let them, from their next slots on", _resume_arguments, resume),
    Verb("sync", "make the schedules that @repeat declares", add_format, sync),
)
