"""A project that shows its users their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.template import engines
from django.urls import include, path

from cq.models import Task
from cq.views import TaskView

if TYPE_CHECKING:
    from django.http import HttpRequest


class OwnTaskView(TaskView):
    log = result = True

    def has_permission(self, request: HttpRequest, task: Task[Any]) -> bool:
        return request.headers.get("X-Key") == str(task.pk)


def page(request: HttpRequest, pk: Any) -> HttpResponse:
    """A page whose template is what the query says."""
    text = "{% load cq %}" + request.GET["template"]
    given = {
        "task": Task.objects.filter(pk=pk).first(),
        "next": request.GET.get("next"),
    }
    return HttpResponse(engines["django"].from_string(text).render(given, request))


urlpatterns = [
    path("page/<uuid:pk>/", page),
    path("own/<pk>/", OwnTaskView.as_view()),
    path("nobody/<uuid:pk>/", TaskView.as_view()),
    path("tasks/", include("cq.urls")),
]
