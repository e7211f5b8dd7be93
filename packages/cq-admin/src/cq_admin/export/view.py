"""The export of the list: what matches, as a file that is sent while it is read."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from cq_admin.display.html import visible
from cq_admin.display.streaming import streamed

from .asked import asked
from .file import File
from .formats import FORMS
from .records import Records
from .walk import Walk

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    from .formats import CSV, NDJSON


def urls(pages: Any) -> list[URLPattern]:
    """Return the address, to be put before those that begin with the id of a task."""
    view = pages.admin_site.admin_view(require_GET(partial(export, pages)))
    return [path("export/<str:kind>/", view, name="cq_task_export")]


def export(pages: Any, request: HttpRequest, kind: str) -> HttpResponse:
    """Send the tasks of the list, for whoever may see it."""
    if not pages.has_view_permission(request):
        raise PermissionDenied
    form = FORMS.get(kind)
    if form is None:
        raise Http404(f"There is no export as {kind!r}, but as csv and ndjson.")
    request.current_app = pages.admin_site.name
    answer: HttpResponse = pages._limited(
        request, lambda: _answer(pages, request, form)
    )
    return answer


def _answer(
    pages: Any, request: HttpRequest, form: type[CSV] | type[NDJSON]
) -> HttpResponse:
    try:
        wanted = asked(pages, request)
    except ValueError as error:
        said = f"{visible(error)}\n"
        return HttpResponse(said, "text/plain; charset=utf-8", status=400)
    absolute = request.build_absolute_uri
    of_list = absolute(reverse(f"{pages.admin_site.name}:cq_task_changelist"))
    records = Records(
        wanted.base,
        partial(pages.has_view_permission, request),
        partial(pages.has_view_args_permission, request),
        # Addresses are looked up now: what is sent is made when the request is over.
        lambda pk, page: f"{of_list}{pk}/{page}/",
    )
    walk = Walk(wanted, records.rows_of, time.monotonic)
    again = absolute(request.path) + (f"?{wanted.query}" if wanted.query else "")
    file = File(walk, records, form(records.columns), again)
    answer = streamed(request, file.parts(), form.content_type)
    name = f"tasks-{timezone.now():%Y%m%d-%H%M%S}.{form.kind}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "private, no-store"
    return answer  # type: ignore[return-value]
