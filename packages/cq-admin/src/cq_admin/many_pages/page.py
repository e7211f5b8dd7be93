"""What the page shows before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.execution.inline import runs_here
from cq.operations.recording import serving_queue
from cq_admin.display.html import EMPTY, recent, state, visible

from . import address, words

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from cq.operations.filter import TaskFilter
    from cq.operations.preview import Example, Preview
    from cq.operations.verbs import Verb

    from .form import ManyForm
    from .yours import Yours


def refused(pages: Any, request: HttpRequest, verb: Verb, error: str) -> HttpResponse:
    """Say what is wrong with the address, or why it reaches too far."""
    context = {"cq_error": error, "cq_back": _list(pages)}
    return _page(pages, request, verb, context, status=400)


def shown(
    pages: Any,
    request: HttpRequest,
    verb: Verb,
    chosen: TaskFilter,
    mine: Yours,
    seen: Preview,
    form: ManyForm,
) -> HttpResponse:
    """Say what would be done to whom, and ask."""
    query = address.written(chosen)
    context = {
        "cq_filter": words.filter_words(chosen),
        "cq_will": words.will(verb, seen),
        "cq_warnings": words.warnings(verb, seen),
        "cq_left": [(state(s), n, why) for s, n, why in words.left(seen)],
        "cq_uncounted": seen.of_others.counts is None,
        "cq_denied": words.number(mine.denied) if mine.denied else "",
        "cq_examples": [_example(pages, one) for one in seen.examples],
        "cq_oldest": _recorded(seen.oldest),
        "cq_newest": _recorded(seen.newest),
        "cq_nobody": _nobody(),
        "cq_form": form if seen.applies != 0 else None,
        # As it was read: "two hours ago" is another moment when the form is sent.
        "cq_action": f"?{query}",
        "cq_back": f"{_list(pages)}?{query}",
    }
    return _page(pages, request, verb, context)


def _page(
    pages: Any,
    request: HttpRequest,
    verb: Verb,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    its = words.VERB_WORDS[verb.name]
    context = {
        **pages.admin_site.each_context(request),
        "title": its.title,
        "opts": pages.opts,
        "media": pages.media,
        "cq_list": _list(pages),
        "cq_button": its.button,
        **context,
    }
    return TemplateResponse(request, "cq_admin/many.html", context, status=status)


def _list(pages: Any) -> str:
    return reverse(f"{pages.admin_site.name}:cq_task_changelist")


def _example(pages: Any, task: Example) -> dict[str, Any]:
    return {
        "url": reverse(f"{pages.admin_site.name}:cq_task_change", args=[task.id]),
        "name": visible(task.name),
        "state": state(task.status),
        "recorded": _recorded(task),
    }


def _recorded(task: Example | None) -> SafeString | str:
    when = None if task is None else task.recorded
    return EMPTY if when is None else recent(when, timezone.now())


def _nobody() -> str:
    """Return what is to be known where no worker would do it."""
    if serving_queue(conf.DATABASE) is not None:
        return ""
    if runs_here():
        return _(
            "Nobody runs tasks in the background here. The page does it, a batch at a "
            "time: leave it open until it is done."
        )
    return _(
        "No worker is alive. What is more than a batch waits until one is started, by "
        "manage.py cqworker."
    )
