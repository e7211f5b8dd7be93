"""Views of tasks for a project's own users: by a token, or by its own permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.http import (
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect

from cq.conf import conf
from cq.durable.events import links, questions
from cq.errors import NotAsked
from cq.live.state import read
from cq.models import Task
from cq.progress.element import TEMPLATE, Look, context_of, is_own
from cq.progress.public import public_etag, public_state
from cq.progress.token import Refused, Token, read_for

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

    from cq.live.state import Reading

#: The author of an answer by a link, of whom no more is known.
BY_LINK = "by a link"
CANCELLED = "It was cancelled by a user."


class _PrivateView(View):
    """A view whose answers nobody keeps, and whose address is told to no other site."""

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            answer = super().dispatch(request, *args, **kwargs)
        except Refused:
            # Made here: an error page would tell one refusal from another.
            answer = HttpResponse("Not found\n", "text/plain", status=404)
        patch_cache_control(answer, no_store=True, private=True)
        answer.headers.setdefault("Referrer-Policy", "same-origin")
        return answer


class TaskView(_PrivateView):
    """``GET /tasks/ID``: the state of a task as JSON, for who may see it.

    Subclass it and say who that is in `has_permission`; without that it is nobody.
    """

    #: Whether the lines are shown that were said with ``public=True``.
    log = False
    #: Whether what it returned is shown.
    result = False

    def has_permission(self, request: HttpRequest, task: Task[Any]) -> bool:
        """Tell whether this request may see that task."""
        return False

    def get(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        try:
            task = Task.objects.using(conf.DATABASE).filter(pk=pk).first()
        except (TypeError, ValueError, ValidationError):
            raise Refused from None
        if task is None or not self.has_permission(request, task):
            raise Refused
        return _answer(request, _reading(task.pk), log=self.log, result=self.result)


class StateView(_PrivateView):
    """The state of the task that a token names, as JSON."""

    def get(self, request: HttpRequest, token: str) -> HttpResponseBase:
        read_token = read_for(request, token)
        reading = _reading(read_token.task_id)
        return _answer(request, reading, log=read_token.log, result=read_token.result)


@method_decorator(csrf_protect, name="dispatch")
class FragmentView(_PrivateView):
    """The same as HTML that asks for itself again while the task is open."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return _fragment(request, token, read_for(request, token))


@method_decorator(csrf_protect, name="dispatch")
class CancelView(_PrivateView):
    """The button "Cancel" of a task whose token allows it."""

    def post(self, request: HttpRequest, token: str) -> HttpResponseBase:
        said = read_for(request, token)
        task = Task.objects.using(conf.DATABASE).filter(pk=said.task_id).first()
        if task is None or not said.cancel:
            raise Refused
        task.revoke(CANCELLED)
        back = request.POST.get("next", "")
        if "application/json" in request.headers.get("Accept", ""):
            reading = _reading(task.pk)
            return _answer(request, reading, log=said.log, result=said.result)
        if "HX-Request" not in request.headers and is_own(request, back):
            return HttpResponseRedirect(back)
        return _fragment(request, token, said)


@method_decorator([csrf_protect, xframe_options_deny], name="dispatch")
class AnswerView(_PrivateView):
    """The page of a link that answers a question; what scans mails only looks at it."""

    def get(self, request: HttpRequest, link: str) -> HttpResponse:
        said = links.read(link)
        found = said and links.asked_by(conf.DATABASE, said)
        if not (said and found):
            return self._closed(request, forged=said is None)
        return self._page(request, question=found.text, choice=said.choice)

    def post(self, request: HttpRequest, link: str) -> HttpResponse:
        said = links.read(link)
        found = said and links.asked_by(conf.DATABASE, said)
        if not (said and found):
            return self._closed(request, forged=said is None)
        user = getattr(request, "user", None)
        known = user is not None and user.is_authenticated
        author = user.get_username() if user is not None and known else BY_LINK
        try:
            questions.answer(conf.DATABASE, said.task, said.choice, author, found.id)
        except NotAsked:
            # Somebody else was a moment faster.
            return self._closed(request)
        return self._page(
            request, question=found.text, choice=said.choice, answered=True
        )

    def _closed(self, request: HttpRequest, *, forged: bool = False) -> HttpResponse:
        return self._page(request, status=404 if forged else 410, forged=forged)

    def _page(
        self, request: HttpRequest, *, status: int = 200, **context: Any
    ) -> HttpResponse:
        return render(request, "cq/answer.html", context, status=status)


def _reading(task_id: UUID) -> Reading:
    found = read(conf.DATABASE, task_id)
    if found is None:
        raise Refused
    return found


def _answer(
    request: HttpRequest, reading: Reading, *, log: bool, result: bool
) -> HttpResponseBase:
    after = _number(request.GET.get("after", ""))
    etag = public_etag(reading, log=log, after=after)
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None and unchanged.status_code == 304:
        return unchanged
    state = public_state(reading, log=log, result=result, after=after)
    return JsonResponse(state, headers={"ETag": etag})


def _fragment(request: HttpRequest, text: str, token: Token) -> HttpResponse:
    asked = request.GET
    look = Look.of(
        request, asked.get("label"), asked.get("redirect"), asked.get("refresh")
    )
    context = context_of(_reading(token.task_id), text, token, look, htmx=True)
    answer = render(request, TEMPLATE, context)
    state = context["state"]
    if state["done"]:
        answer["HX-Trigger"] = "cq:done" if state["ok"] else "cq:failed, cq:done"
    return answer


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
