"""A site that has enqueued, and rung, before its server forks."""

from __future__ import annotations

import django
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.urls import path

django.setup()

from floor import tasks  # noqa: E402


def enqueue(request: HttpRequest) -> JsonResponse:
    task = tasks.effect.delay(int(request.GET["key"]))
    return JsonResponse({"id": str(task.pk)})


urlpatterns = [path("", enqueue)]
application = get_wsgi_application()

tasks.effect.delay(0)
# As any site that is loaded before the fork has to.
connections.close_all()
