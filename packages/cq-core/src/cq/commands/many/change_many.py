"""The change of all tasks that match the flags of a verb, piece by piece, with a bar."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db.models import Count

from cq.cli.asker import asked_by, note
from cq.conf import conf
from cq.operations.operation import Operation
from cq.operations.preview import preview
from cq.operations.recording import is_stepped, newest_id, record, serving_queue
from cq.operations.verbs import VERBS
from cq.tables.queries import tasks
from cq.workers.liveness import NO_WORKER
from cq.workflow import many
from cq.workflow.revocation import REVOKED

from .filters import filtered, given, task_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.cli.output import Output
    from cq.status import Status
    from cq.tables.rows import TaskRow
    from cq.workflow.many import Changed

#: How many refusals are told with their reason.
MOST_REASONS = 20
BAR_WIDTH = 30


def change_many(
    output: Output,
    options: dict[str, Any],
    verb: str,
    statuses: Iterable[Status],
    change: Callable[[str, list[UUID]], Changed],
) -> None:
    """Change what the flags choose; of `statuses` where none says of which.

    Raises CommandError without any flag, and where some could not be changed.
    """
    if not given(options):
        raise CommandError(
            f"nothing says which tasks to {verb}; give ids, or flags such as "
            "--status FAILURE --name shop.tasks.charge --since 2h (and --dry-run to look "
            "first)"
        )
    using = conf.DATABASE
    found = filtered(tasks(using), options)
    if options["status"] is None:
        found = found.filter(status__in=sorted(statuses))
    if options["dry_run"]:
        _tell(output, found, verb)
        return
    if options["background"]:
        _record(output, options, verb, statuses)
        return
    count, refused = _change(using, found, verb, change)
    if output.as_json:
        shown = [{"id": str(pk), "refused": why} for pk, why in refused.items()]
        output.json({"changed": count, "refused": shown})
    else:
        output.line(f"{verb}: {count:,} tasks")
    if refused:
        reasons = [f"\n  {why}" for why in list(refused.values())[:MOST_REASONS]]
        more = len(refused) - len(reasons)
        raise CommandError(
            f"{len(refused):,} could not be changed:{''.join(reasons)}"
            + (f"\n  ... and {more:,} more" if more else "")
        )


def _record(
    output: Output, options: dict[str, Any], verb: str, statuses: Iterable[Status]
) -> None:
    """Record an operation, which a worker does."""
    using = conf.DATABASE
    chosen = task_filter(options)
    if chosen.status is None:
        chosen = replace(chosen, status=tuple(sorted(statuses)))
    if is_stepped(using):
        raise CommandError(
            "nobody runs tasks in the background here, and no worker is alive; leave "
            "--background out to do it now, or start `manage.py cq run --loop`"
        )
    seen, reason = preview(using, chosen, VERBS[verb]), options.get("reason") or ""
    operation = Operation(
        verb=VERBS[verb],
        filter=chosen,
        newest=newest_id(using),
        total=seen.applies,
        reason="" if reason == REVOKED else reason,
        by=asked_by(f"cq {verb}"),
        spread=options.get("spread") or 0,
    )
    try:
        # As a worker will read it, and say what is wrong with it now.
        task = record(using, Operation.of(operation.as_json()))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not task.created:
        raise CommandError(f"operation {task.pk} does that already; see `cq show`")
    if output.as_json:
        output.json({"operation": str(task.pk), "tasks": seen.applies})
        return
    count = "an unknown number of" if seen.applies is None else f"{seen.applies:,}"
    more = "+" * seen.capped
    output.line(f"{verb} of {count}{more} tasks is operation {task.pk}")
    if serving_queue(using) is None:
        output.line(f"It waits: {NO_WORKER}.")


def _tell(output: Output, found: QuerySet[TaskRow], verb: str) -> None:
    counted = found.values("name", "status").annotate(tasks=Count("pk"))
    rows: list[dict[str, Any]] = [*map(dict, counted.order_by("name", "status"))]
    if output.as_json:
        output.json({"dry_run": True, "would_change": rows})
        return
    if rows:
        columns = ("name", "status", "tasks")
        output.table(columns, [[row[name] for name in columns] for row in rows])
    total = sum(row["tasks"] for row in rows)
    output.line(f"{verb} would take {total:,} tasks; nothing was changed")


def _change(
    using: str,
    found: QuerySet[TaskRow],
    verb: str,
    change: Callable[[str, list[UUID]], Changed],
) -> tuple[int, dict[UUID, str]]:
    total = found.count() if sys.stderr.isatty() else 0
    looked, count = 0, 0
    refused: dict[UUID, str] = {}
    try:
        for ids in many.pieces(found):
            changed = change(using, ids)
            looked, count = looked + len(ids), count + changed.changed
            refused |= changed.refused
            if total:
                _draw(looked, total)
    except KeyboardInterrupt:
        raise CommandError(
            f"stopped after {count:,} tasks; the same command goes on with the rest"
        ) from None
    finally:
        note(f"cq {verb}", "tasks", count)
        if looked and total:
            sys.stderr.write("\n")
    return count, refused


def _draw(done: int, total: int) -> None:
    """Draw the bar over itself. What is recorded meanwhile may make it more than full."""
    share = min(1.0, done / total)
    bar = "#" * round(share * BAR_WIDTH)
    sys.stderr.write(f"\r[{bar:<{BAR_WIDTH}}] {done:,} of {total:,}")
    sys.stderr.flush()
