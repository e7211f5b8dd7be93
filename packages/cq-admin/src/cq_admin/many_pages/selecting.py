"""The way from the list to the page: tasks that were ticked, or all that match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from cq_admin.display.html import visible

from . import address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse

    from cq.operations.filter import TaskFilter

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

MANY_ACTIONS = (
    "retry_selected",
    "revoke_selected",
    "now_selected",
    "priority_selected",
    "queue_selected",
)


class ManyActions(ModelAdmin):
    """The actions of the list, one for each verb. None of them changes anything."""

    def filter_of_list(self, request: HttpRequest) -> TaskFilter:
        """Return the filter of the list that a request comes from; raises ValueError."""
        return address.of_list(request.GET)

    @admin.action(permissions=["retry"], description=_("Retry selected tasks"))
    def retry_selected(self, request: HttpRequest, queryset: Any) -> Any:
        return selected(self, request, "retry")

    @admin.action(permissions=["revoke"], description=_("Revoke selected tasks"))
    def revoke_selected(self, request: HttpRequest, queryset: Any) -> Any:
        return selected(self, request, "revoke")

    @admin.action(permissions=["hasten"], description=_("Queue selected tasks now"))
    def now_selected(self, request: HttpRequest, queryset: Any) -> Any:
        return selected(self, request, "now")

    @admin.action(
        permissions=["hasten"], description=_("Change the priority of selected tasks")
    )
    def priority_selected(self, request: HttpRequest, queryset: Any) -> Any:
        return selected(self, request, "priority")

    @admin.action(
        permissions=["hasten"],
        description=_("Move selected tasks to another queue"),
    )
    def queue_selected(self, request: HttpRequest, queryset: Any) -> Any:
        return selected(self, request, "queue")


def selected(pages: Any, request: HttpRequest, verb: str) -> HttpResponse | None:
    """Lead from an action of the list to the page; None, with a message, where not."""
    try:
        if request.POST.get("select_across") == "1":
            chosen = pages.filter_of_list(request)
        else:
            chosen = address.of_ids(request.POST.getlist(ACTION_CHECKBOX_NAME))
    except ValueError as error:
        pages.message_user(request, visible(error), messages.ERROR)
        return None
    return _to_page(pages, verb, chosen)


def of_tasks(pages: Any, verb: str, ids: Iterable[Any]) -> HttpResponse:
    """Lead to the page with these tasks."""
    return _to_page(pages, verb, address.of_ids(ids))


def _to_page(pages: Any, verb: str, chosen: Any) -> HttpResponse:
    url = reverse(f"{pages.admin_site.name}:cq_task_many", args=[verb])
    return HttpResponseRedirect(f"{url}?{address.written(chosen)}")
