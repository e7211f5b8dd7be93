"""The live state of a task as JSON, and what its page needs to ask for it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseNotModified, JsonResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cq.conf import conf
from cq.ids import read_id
from cq.live.socket import socket_address
from cq.live.state import read
from cq.logs.progress import seconds_left
from cq.status import OPEN, Status
from cq_admin.display.html import tone

from .reader import Reader

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.urls import URLPattern

    from cq.live.state import Reading
    from cq.logs.progress import Progress
    from cq.models import Task

    from .detail import Detail


#: Seconds that are said in minutes.
_A_WHILE = 120


def urls(pages: Any) -> list[URLPattern]:
    """Return the address of the state."""
    wrapped = pages.admin_site.admin_view(require_safe(partial(live, pages)))
    return [path("<path:object_id>/live/", wrapped, name="cq_task_live")]


def live(pages: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Answer within the limit of time of all pages, see :func:`_live`."""
    answer: HttpResponse = pages._limited(
        request, lambda: _live(pages, request, object_id)
    )
    return answer


def _live(pages: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Answer with the state of a task, or with 304 where the asker has it already."""
    # Asked before the look-up: who may not look learns nothing of what there is.
    if not pages.has_view_permission(request):
        raise PermissionDenied
    try:
        after = _after(request.GET.get("after"))
    except ValueError as error:
        return JsonResponse({"error": str(error)}, status=400)
    task_id = read_id(unquote(object_id))
    reading = None if task_id is None else read(conf.DATABASE, task_id)
    reader = Reader(pages.get_queryset(request), False, False)
    if reading is None or not _is_shown(reader, reading):
        return JsonResponse({"error": "There is no such task."}, status=404)
    if not pages.has_view_permission(request, reading.row):
        raise PermissionDenied
    log = bool(pages.has_view_log_permission(request, reading.row))
    etag = reading.etag(after, log=log)
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified(headers={"ETag": etag})
    ids = reader.tasks.order_by().values("pk")
    narrow = (lambda lines: lines.filter(task__in=ids)) if reader.is_narrowed else None
    state = reading.state(after, log=log, narrow=narrow)
    return JsonResponse(state, headers={"ETag": etag})


def _is_shown(reader: Reader, reading: Reading) -> bool:
    """Tell whether it is among the tasks that there are for the reader."""
    return not reader.is_narrowed or reader.tasks.filter(pk=reading.row.pk).exists()


def _after(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 20):
        raise ValueError("after must be the number of a line")
    return int(given)


class Live(NamedTuple):
    """What the page of an open task needs, to be kept as it is now."""

    url: str
    #: Where a socket may be tried; "": nowhere.
    socket: str
    task: str
    #: The number of the last line that it shows.
    after: int | None
    zone: str
    #: As JSON.
    words: str


def live_of(request: HttpRequest, detail: Detail, tries: int | None) -> Live | None:
    """Return what its page needs; None where nothing of it changes any more.

    tries: how often it may run; None: nobody knows.
    """
    task = detail.task
    if task.status not in OPEN:
        return None
    rows = detail.log.rows
    return Live(
        reverse(f"{detail.site}:cq_task_live", args=[task.pk]),
        _socket(request, detail),
        str(task.pk),
        rows[-1].number if rows else 0,
        timezone.get_current_timezone_name(),
        json.dumps(_words(tries)),
    )


def _socket(request: HttpRequest, detail: Detail) -> str:
    # A site that shows some of the tasks only is asked itself, task by task.
    return "" if detail.reader.is_narrowed else socket_address(request)


def time_left(progress: Progress, task: Task, now: datetime) -> str:
    """Say how long it may still take, and how fast it goes; "": nobody knows yet."""
    if task.status not in (Status.RUNNING, Status.WAITING):
        return ""
    left = seconds_left(progress.done, progress.total, task.started, now)
    if not left or not progress.total:
        return ""
    words = _words(None)["s" if left < _A_WHILE else "min"]
    values = (
        left if left < _A_WHILE else left / 60,
        (progress.total - progress.done) / left * 60,
    )
    n, rate = (number_format(round(value, 2), use_l10n=True) for value in values)
    return str(words) % {"n": n, "rate": rate}


def _words(tries: int | None) -> dict[str, Any]:
    return {
        "statuses": {str(s): [str(s.label), tone(s)] for s in Status},
        "open": sorted(OPEN),
        "tries": _("tries: %(n)s of %(most)s") if tries else _("tries: %(n)s"),
        "most": tries,
        "pause": _("Pause updates"),
        "resume": _("Resume updates"),
        "live": _("Live"),
        "paused": _("Paused"),
        "lost": _("Cannot reach the server; trying again."),
        "ended": _("It has ended."),
        "reload": _("Load the whole page"),
        "status": _("Status: %(status)s."),
        "lines": _("New lines in the log: %(n)s."),
        "cut": _("Lines are left out here."),
        "s": _("~%(n)s s left (%(rate)s/min)"),
        "min": _("~%(n)s min left (%(rate)s/min)"),
    }
