"""The page of many tasks: GET says what would be done, POST records it as an operation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_http_methods

from cq.conf import conf
from cq.errors import UniqueBusy
from cq.operations.operation import LONGEST_ASKER, Operation
from cq.operations.preview import preview
from cq.operations.recording import newest_id
from cq.operations.verbs import VERBS
from cq_admin.display.html import visible

from . import address
from .doing import STEP, do
from .form import ManyForm
from .page import refused, shown
from .steps import step
from .yours import TooMany, may, yours

if TYPE_CHECKING:
    from django.urls import URLPattern

    from cq.operations.preview import Preview
    from cq.operations.verbs import Verb

    from .yours import Yours


def urls(pages: Any, own: type) -> list[URLPattern]:
    """Return the address of the page; `own` is the class that the pages come with.

    To be put before addresses that begin with the id of a task.
    """
    view = require_http_methods(["GET", "HEAD", "POST"])(partial(many, pages, own))
    wrapped = pages.admin_site.admin_view(view)
    return [path("many/<str:verb>/", wrapped, name="cq_task_many")]


def many(pages: Any, own: type, request: HttpRequest, verb: str) -> HttpResponse:
    """Show or record an operation, for whoever may do the verb."""
    found = VERBS.get(verb)
    if found is None:
        raise Http404(f"There is no verb {verb!r}.")
    # Asked before anything is looked up: who may not act learns nothing of what there is.
    if not may(pages, request, found):
        raise PermissionDenied
    # By which templates find the addresses of this site, and not of another.
    request.current_app = pages.admin_site.name
    if STEP in request.GET:
        return step(pages, request, found)
    try:
        chosen = address.read(request.GET)
        mine = yours(pages, own, request, chosen, found)
    except (ValueError, TooMany) as error:
        return refused(pages, request, found, visible(error))
    seen = preview(conf.DATABASE, mine.filter, found)
    form = ManyForm(found, request.POST if request.method == "POST" else None)
    if request.method == "POST" and seen.applies != 0 and form.is_valid():
        try:
            operation = _operation(request, found, mine, seen, form)
            return do(pages, request, operation, seen)
        except (ValueError, UniqueBusy) as error:
            form.add_error(None, visible(error))
    return shown(pages, request, found, chosen, mine, seen, form)


def _operation(
    request: HttpRequest, verb: Verb, mine: Yours, seen: Preview, form: ManyForm
) -> Operation:
    """Return what the form asks for, as a worker will read it; raises ValueError."""
    operation = Operation(
        verb=verb,
        filter=mine.filter,
        newest=newest_id(conf.DATABASE),
        total=seen.applies,
        reason=form.cleaned_data["reason"],
        by=visible(request.user.get_username())[:LONGEST_ASKER],
        spread=form.cleaned_data.get("spread") or 0,
        value=form.value,
    )
    return Operation.of(operation.as_json())
