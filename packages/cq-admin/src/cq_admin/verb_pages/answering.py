"""The question of a task on its page, with a button for each of its choices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from cq.conf import conf
from cq.context import user as acting_user
from cq.durable.events import questions
from cq.errors import NotAsked
from cq.status import Status
from cq.watching.changes import changed
from cq_admin.display.html import visible

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    from cq.durable.events.questions import Question
    from cq.models import Task

#: Of whoever answers what names none.
PERMISSION = "cq.retry_task"


def urls(pages: Any) -> list[URLPattern]:
    """Return the address to which an answer is sent."""
    view = require_POST(partial(_view, pages))
    return [
        path(
            "<path:object_id>/answer/",
            pages.admin_site.admin_view(view),
            name="cq_task_answer",
        )
    ]


def shown(pages: Any, request: HttpRequest, task: Task) -> dict[str, Any] | None:
    """Return what the page says of the question of a task; None where it has none.

    It may say what the arguments do. So who sees neither those nor a button sees nothing.
    """
    if task.status != Status.SUSPENDED:
        return None
    found = questions.question_of(task._state.db or conf.DATABASE, task.pk)
    if found is None:
        return None
    may = _may_answer(request, found)
    if not may and not pages.has_view_args_permission(request, task):
        return None
    return {
        "id": found.id,
        "text": visible(found.text),
        "choices": [visible(choice) for choice in found.choices],
        "may": may,
        "permission": visible(found.permission or PERMISSION),
        "url": reverse(f"{pages.admin_site.name}:cq_task_answer", args=[task.pk]),
    }


def _may_answer(request: HttpRequest, asked: Question) -> bool:
    return request.user.has_perm(asked.permission or PERMISSION)


def _view(pages: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    answer: HttpResponse = pages._limited(
        request, lambda: _answer(pages, request, object_id)
    )
    return answer


def _answer(pages: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    if not pages.has_view_permission(request):
        raise PermissionDenied
    task = pages.get_object(request, object_id)
    if task is None:
        raise Http404(f"There is no task {object_id!r}.")
    if not pages.has_view_permission(request, task):
        raise PermissionDenied
    using = task._state.db or conf.DATABASE
    found = questions.question_of(using, task.pk)
    if found is not None and not _may_answer(request, found):
        raise PermissionDenied
    choice = _choice(request, found)
    try:
        if found is None or choice is None:
            raise NotAsked
        with acting_user.acting(request.user):
            user = request.user.get_username()
            questions.answer(using, task.pk, choice, user, found.id)
    except NotAsked:
        closed = _(
            "This question is no longer open: it was answered or withdrawn, or its time "
            "is over."
        )
        pages.message_user(request, closed, messages.ERROR)
    else:
        changed(using, [task.pk])
        words = {"question": visible(found.text), "choice": visible(choice)}
        pages.log_change(
            request, task, _("Answered “%(question)s”: %(choice)s") % words
        )
        said = _("Your answer to “%(question)s” was taken: %(choice)s") % words
        pages.message_user(request, said, messages.SUCCESS)
    page = f"{pages.admin_site.name}:cq_task_change"
    return HttpResponseRedirect(reverse(page, args=[task.pk]))


def _choice(request: HttpRequest, asked: Question | None) -> str | None:
    """Return the choice whose button was pressed, if that was one of this question.

    By its number: a form changes the line breaks of texts.
    """
    number = request.POST.get("choice", "")
    if asked is None or request.POST.get("question") != str(asked.id):
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 4):
        return None
    return dict(enumerate(asked.choices)).get(int(number))
