"""The values of a task as JSON: its arguments and its result, whole, with secrets hidden."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.urls import path
from django.views.decorators.http import require_safe

from cq.display.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from cq.models import Task


def urls(pages: Any) -> list[URLPattern]:
    """Return the addresses."""
    return [
        path(
            f"<path:object_id>/{name}/",
            pages.admin_site.admin_view(require_safe(partial(_value, pages, read))),
            name=f"cq_task_{name}",
        )
        for name, read in (("args", _args), ("result", _result))
    ]


def _value(
    pages: Any,
    read: Callable[[Task, Redaction], dict[str, Any]],
    request: HttpRequest,
    object_id: str,
) -> HttpResponse:
    answer: HttpResponse = pages._limited(
        request, lambda: _answer(pages, read, request, object_id)
    )
    return answer


def _answer(
    pages: Any,
    read: Callable[[Task, Redaction], dict[str, Any]],
    request: HttpRequest,
    object_id: str,
) -> HttpResponse:
    _check(pages, request)
    task = pages.get_object(request, object_id)
    if task is None:
        raise Http404(f"There is no task {object_id!r}.")
    _check(pages, request, task)
    found = {"id": str(task.pk), "name": task.name, **read(task, Redaction(task.name))}
    answer = JsonResponse(found, json_dumps_params={"indent": 1})
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _check(pages: Any, request: HttpRequest, task: Task | None = None) -> None:
    sees = pages.has_view_permission(request, task)
    if not (sees and pages.has_view_args_permission(request, task)):
        raise PermissionDenied


def _args(task: Task, redaction: Redaction) -> dict[str, Any]:
    args = stored_value(task.stored_text("args"), redaction.args)
    kwargs = stored_value(task.stored_text("kwargs"), redaction.kwargs)
    return {"args": args, "kwargs": kwargs}


def _result(task: Task, redaction: Redaction) -> dict[str, Any]:
    return {"result": stored_value(task.stored_text("result"), redaction.result)}


def stored_value(stored: str | None, redact: Callable[[Any], Any]) -> Any:
    """Return a stored value with the codec's tags as they are.

    Text that is no JSON is not shown: nobody can tell what is secret in it.
    """
    if stored is None:
        return None
    try:
        return redact(json.loads(stored))
    except (ValueError, RecursionError) as error:
        return f"[{len(stored):,} characters that cannot be read: {error}]"
