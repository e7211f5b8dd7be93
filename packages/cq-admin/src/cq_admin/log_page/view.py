"""The page of a task's log, and the whole of it as text."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cq.tables.queries import tasks
from cq_admin.display.html import named, state, titled, visible
from cq_admin.display.streaming import streamed
from cq_admin.display.trail import Trail

from . import wanted as address
from .lines import Writer
from .reading import Found, Stored, page, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from cq.models import Task

    from .wanted import Wanted

_PLAIN = "text/plain; charset=utf-8"
LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def urls(pages: Any) -> list[URLPattern]:
    """Return the address of the page."""
    view = pages.admin_site.admin_view(require_safe(partial(log, pages)))
    return [path("<path:object_id>/log/", view, name="cq_task_log")]


def log(pages: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Show a page of a log, for whoever may see logs."""
    _check(pages, request)
    # By which templates find the addresses of this site, and not of another.
    request.current_app = pages.admin_site.name
    if request.GET.get("format") == "txt":
        return _as_text(pages, request, _task(pages, request, object_id))
    answer: HttpResponse = pages._limited(
        request, lambda: _shown(pages, request, _task(pages, request, object_id))
    )
    return answer


def _check(pages: Any, request: HttpRequest, task: Task | None = None) -> None:
    sees = pages.has_view_permission(request, task)
    if not (sees and pages.has_view_log_permission(request, task)):
        raise PermissionDenied


def _task(pages: Any, request: HttpRequest, object_id: str) -> Task:
    task: Task | None = pages.get_object(request, object_id)
    if task is None:
        raise Http404(f"There is no task {object_id!r}.")
    _check(pages, request, task)
    return task


def seen_by(pages: Any, request: HttpRequest) -> QuerySet[Any, Any] | None:
    """Return the ids of the tasks that are there for the reader; None: all are."""
    found = pages.get_queryset(request)
    return found.order_by().values("pk") if found.query.where else None


def names_of(task: Task, found: Iterable[Stored]) -> dict[UUID, str]:
    """Return the names of the tasks that have said lines."""
    others = {line.task for line in found} - {task.pk}
    names: dict[UUID, str] = {task.pk: task.name}
    if others:
        rows = tasks(task._state.db or "default").filter(pk__in=others)
        names |= dict(rows.values_list("pk", "name"))
    return names


def _shown(pages: Any, request: HttpRequest, task: Task) -> HttpResponse:
    problem = ""
    wanted = address.Wanted()
    try:
        wanted = address.read(request.GET)
    except ValueError as error:
        problem = str(error)
    seen = seen_by(pages, request)
    found = Found([]) if problem else page(task, wanted, seen)
    names = names_of(task, found.lines)

    def link(pk: UUID, name: str) -> SafeString:
        url = reverse(f"{pages.admin_site.name}:cq_task_change", args=[pk])
        return format_html('<a href="{}">{}</a>', url, named(name))

    writer = Writer(task.pk, names, timezone.now(), link)
    lines = found.lines
    if wanted.q:
        lines = [line for line in lines if writer.says(line, wanted.q)]
    task_url = reverse(f"{pages.admin_site.name}:cq_task_change", args=[task.pk])
    heading = titled(task.name, task.pk)
    context = {
        **pages.admin_site.each_context(request),
        "title": _("Log"),
        "trail": Trail.to(pages, _("Log"), (task_url, heading)),
        "opts": pages.opts,
        "media": pages.media,
        "task_name": visible(task.name),
        "task_url": task_url,
        "heading": heading,
        "state": state(task.status),
        "is_root": task.root_id == task.pk,
        "wanted": wanted,
        "given": request.GET,
        "levels": [(logging.getLevelName(n), n == wanted.level) for n in LEVELS],
        "problem": problem,
        "lines": writer.lines(
            lines, _before(task, wanted, found) if seen is None else None
        ),
        "links": _links(wanted, found),
        "text_url": f"?{urlencode({**_kept(wanted), 'format': 'txt'})}",
        "reached": found.reached,
    }
    template = "cq_admin/log_page.html"
    return TemplateResponse(request, template, context, status=400 if problem else 200)


def _before(task: Task, wanted: Wanted, found: Found) -> int | None:
    """Return the number before the first line, where what lies between is a gap."""
    if task.root_id != task.pk or not wanted.is_plain or not found.lines:
        return None
    if wanted.after is not None:
        return wanted.after
    return found.lines[0].number - 1 if found.older else 0


def _kept(wanted: Wanted) -> dict[str, Any]:
    """Return the filters as an address has them."""
    level = wanted.level
    kept = {
        "level": logging.getLevelName(level) if level in LEVELS else level,
        "q": wanted.q,
        "of": wanted.of,
        "attempt": wanted.attempt,
    }
    return {name: value for name, value in kept.items() if value not in (None, "")}


def _links(wanted: Wanted, found: Found) -> list[tuple[str, str]]:
    """Return the ways on from here, by what each is called."""
    first = found.lines[0].number if found.lines else (wanted.after or 0) + 1
    last = found.lines[-1].number if found.lines else wanted.before or 0
    if found.reached is not None:
        if wanted.after is None:
            first = found.reached
        else:
            last = found.reached
    kept = _kept(wanted)
    links = []
    if found.older:
        links.append((f"?{urlencode({**kept, 'before': first})}", _("Older")))
    if found.newer:
        # Before that there is nothing that was looked for: the line itself is.
        at = last if found.lines or wanted.after is not None else last - 1
        links.append((f"?{urlencode({**kept, 'after': at})}", _("Newer")))
        links.append((f"?{urlencode(kept)}", _("The last lines")))
    return links


def _as_text(pages: Any, request: HttpRequest, task: Task) -> HttpResponse:
    try:
        wanted = address.read(request.GET)
    except ValueError as error:
        return HttpResponse(f"{error}\n", _PLAIN, status=400)
    seen = seen_by(pages, request)

    def parts() -> Iterator[str]:
        last = 0
        gaps = task.root_id == task.pk and wanted.is_plain and seen is None
        for lines in whole(task, wanted, seen):
            writer = Writer(task.pk, names_of(task, lines), timezone.now(), _no_link)
            said = []
            for line in lines:
                if gaps and line.number > last + 1:
                    said.append(f"[... {line.number - last - 1} lines left out ...]\n")
                last = line.number
                if not wanted.q or writer.says(line, wanted.q):
                    said.append(writer.as_text(line))
            yield "".join(said)

    answer = streamed(request, parts(), _PLAIN)
    answer["Content-Disposition"] = f'inline; filename="{task.pk}.log.txt"'
    return answer  # type: ignore[return-value]


def _no_link(pk: UUID, name: str) -> Any:
    return name
