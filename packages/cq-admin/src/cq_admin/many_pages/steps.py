"""The page that takes an operation further, where nobody runs tasks in the background.

Each POST does a batch and leads back here, until it is done. With JavaScript the form
sends itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from cq.conf import conf
from cq.definitions.signatures import OPERATION
from cq.errors import CodecError
from cq.operations.operation import Operation
from cq.operations.recording import is_stepped
from cq.status import Status
from cq_admin.display.html import bar

from . import words
from .doing import STEP, do_next, lead
from .yours import may

if TYPE_CHECKING:
    from cq.operations.verbs import Verb


def step(pages: Any, request: HttpRequest, verb: Verb) -> HttpResponse:
    """Show how far an operation is, or do its next batch."""
    task = _operation(pages, request, verb)
    if request.method == "POST" and is_stepped(conf.DATABASE):
        do_next(request, task.pk)
        return lead(pages, request, verb, task.pk)
    if task.status != Status.QUEUED or not is_stepped(conf.DATABASE):
        return lead(pages, request, verb, task.pk)
    context = {
        **pages.admin_site.each_context(request),
        "title": words.VERB_WORDS[verb.name].title,
        "opts": pages.opts,
        "media": pages.media,
        "cq_bar": bar(
            task.progress_done or 0, task.progress_total, task.progress_message
        ),
        "cq_task_url": reverse(
            f"{pages.admin_site.name}:cq_task_change", args=[task.pk]
        ),
        "cq_list": reverse(f"{pages.admin_site.name}:cq_task_changelist"),
    }
    return TemplateResponse(request, "cq_admin/many_steps.html", context)


def _operation(pages: Any, request: HttpRequest, verb: Verb) -> Any:
    """Return the operation that the address names; it is of this verb, or is not there."""
    given = request.GET[STEP]
    task = pages.get_object(request, given)
    if task is None or task.name != OPERATION or _verb_of(task) is not verb:
        raise Http404(f"There is no operation {given!r} of {verb.name}.")
    if not may(pages, request, verb, task):
        raise PermissionDenied
    return task


def _verb_of(task: Any) -> Verb | None:
    try:
        return Operation.of(task.kwargs).verb
    except (CodecError, ValueError):  # somebody has written it
        return None
