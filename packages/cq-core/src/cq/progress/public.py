"""The state of a task as its end users see it, as JSON.

Version 1 of it is described in docs/progress.md. A key may be added; none may go, or come
to mean something else, without another number under ``v``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils.formats import localize
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from cq.logs.progress import Progress
from cq.status import OPEN, SUCCEEDED, Status

from .error import public_error
from .result import plain_result

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from cq.live.state import Reading
    from cq.tables.attempt_rows import TaskLogRow

VERSION = 1


def public_state(
    reading: Reading,
    *,
    log: bool = False,
    result: bool = False,
    after: int | None = None,
) -> dict[str, Any]:
    """Return what end users may see of a task: no argument, no traceback, no name of ours.

    log: with the lines that were said for them, behind the number `after`.
    result: with what it returned.
    """
    whole = reading.state(after, log=log, narrow=public_lines)
    status = reading.row.status
    error = public_error(reading)
    progress = _progress(whole["progress"], status)
    state = {
        "v": VERSION,
        "of": whole["of"],
        "seq": whole["seq"],
        "status": status,
        "done": status not in OPEN,
        "ok": status in SUCCEEDED,
        "progress": progress,
        "error": error,
        "text": _text(status, progress["message"], error),
        "amount": _amount(progress),
    }
    if log:
        state["log"] = [
            {key: line[key] for key in ("n", "t", "level", "text")}
            for line in whole["log"]
        ]
        state["more"] = whole["more"]
    if result:
        ended = status in SUCCEEDED
        state["result"] = plain_result(reading.using, whole["of"]) if ended else None
    return state


def public_etag(reading: Reading, *, log: bool, after: int | None) -> str:
    """Return the ETag of that: it is another text in each language."""
    return f'{reading.etag(after, log=log)[:-1]}-{get_language() or ""}"'


def public_lines(lines: QuerySet[TaskLogRow]) -> QuerySet[TaskLogRow]:
    return lines.filter(public=True, level__gte=logging.INFO)


def _progress(said: dict[str, Any], status: str) -> dict[str, Any]:
    fraction = Progress(said["done"], said["total"]).fraction
    if status in SUCCEEDED:
        fraction = 1.0
    elif status not in OPEN:
        # A bar without a value moves to and fro, as if there was more to come.
        fraction = fraction or 0.0
    return {**said, "fraction": fraction}


def _text(status: str, message: str, error: str | None) -> str:
    if error is not None:
        return error
    if status in SUCCEEDED:
        return str(Status.COMPLETE.label)
    if message:
        return message
    if status in (Status.RUNNING, Status.WAITING, Status.SUSPENDED):
        return str(Status.RUNNING.label)
    return _("waiting")


def _amount(progress: dict[str, Any]) -> str:
    """Say how much is done; "" where nobody has said."""
    done, total = (localize(progress[key]) for key in ("done", "total"))
    if progress["total"]:
        return _("%(done)s of %(total)s") % {"done": done, "total": total}
    return str(done) if progress["done"] else ""
