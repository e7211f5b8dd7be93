"""The addresses of a task's bar: ``path("tasks/", include("cq.urls"))``."""

from __future__ import annotations

from django.urls import path

from .views import AnswerView, CancelView, FragmentView, StateView

app_name = "cq"
urlpatterns = [
    path("answer/<str:link>/", AnswerView.as_view(), name="answer"),
    path("<str:token>/", StateView.as_view(), name="state"),
    path("<str:token>/fragment/", FragmentView.as_view(), name="fragment"),
    path("<str:token>/cancel/", CancelView.as_view(), name="cancel"),
]
