"""The pages of tasks: nothing on them can be edited; what can be done, `verbs` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.forms import Script
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cq.conf import conf
from cq.models import Worker
from cq.operations.filter import TaskFilter
from cq.status import Status
from cq_admin.display.html import (
    copy_button,
    titled,
    visible,
)
from cq_admin.display.readonly import ReadOnlyAdmin
from cq_admin.display.trail import Trail
from cq_admin.export.view import urls as export_urls
from cq_admin.log_page.view import urls as log_urls
from cq_admin.many_pages import address
from cq_admin.many_pages.selecting import MANY_ACTIONS, ManyActions
from cq_admin.many_pages.view import urls as many_urls
from cq_admin.name_page.view import NamePages
from cq_admin.saved_views.rows import Saved
from cq_admin.saved_views.view import urls as saved_view_urls
from cq_admin.tree import graph
from cq_admin.value_pages import urls as value_urls
from cq_admin.verb_pages import answering
from cq_admin.worker_pages import stacks

from . import changelist, choosing, facts, filters, link_filters, live
from .detail import Detail
from .reader import Reader
from .steps.page import steps_of
from .summary import Summary
from .tries import tries_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from cq.models import Task


class TaskAdminMixin(NamePages, ManyActions, ReadOnlyAdmin):
    """The pages, for any theme: put it before the `ModelAdmin` of another one."""

    list_display = (
        "shown_name",
        "shown_status",
        "shown_why",
        "shown_tries",
        "shown_waited",
        "shown_took",
        "shown_when",
    )
    list_filter = (
        filters.StatusFilter,
        filters.SinceFilter,
        filters.LevelFilter,
        filters.QueueFilter,
        filters.NameFilter,
        link_filters.TagFilter,
        link_filters.UntilFilter,
        link_filters.IdFilter,
        link_filters.ParentFilter,
        link_filters.RootFilter,
        link_filters.WorkerFilter,
    )
    lookup_columns = (
        "id",
        "name",
        "queue",
        "status",
        "priority",
        "attempts",
        "submitted",
        "started",
        "finished",
        "run_after",
        "parent",
        "root",
        "worker",
    )
    #: Makes Django show the field; `get_search_results` does the rest.
    search_fields = ("name",)
    ordering = ("-id",)
    sortable_by = ()
    paginator = choosing.CappedPaginator
    show_full_result_count = False
    list_select_related = False
    show_facets = admin.ShowFacets.NEVER
    actions = MANY_ACTIONS

    class Media:
        css = {"all": ("cq_admin/list.css", "cq_admin/task.css")}  # noqa: RUF012
        js = (
            Script("cq_admin/copy.js", type="module"),
            Script("cq_admin/live.js", type="module"),
        )

    # --- what is allowed --------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.view_task")

    def has_view_args_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether arguments and results are shown, and searched."""
        return request.user.has_perm("cq.view_task_args")

    def has_view_log_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the log is shown."""
        return request.user.has_perm("cq.view_task_log")

    def has_view_stack_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether it is shown where in its code a task was last seen."""
        return request.user.has_perm("cq.view_stack")

    # --- the list ---------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        return super().get_queryset(request).using(conf.DATABASE)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return changelist.TaskChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "cq_saved": Saved(request)}
        answer: HttpResponse = super().changelist_view(request, context)
        return answer

    def filter_of_list(self, request: HttpRequest) -> TaskFilter:
        """Return the filter of a list, with its search, where the terms of it are filters.

        Raises ValueError where they are not, or the address has what is not known.
        """
        found = None
        if request.GET.get(address.SEARCH):
            rest = request.GET.copy()
            del rest[address.SEARCH]
            address.of_list(rest)  # refuses what would be left out below
            shown: Any = self.get_changelist_instance(request)
            found = shown.wanted.as_filter
        if found is None:
            return super().filter_of_list(request)
        return TaskFilter.of(found.as_json())  # no more names than one may have

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        sees_args = self.has_view_args_permission(request)
        return choosing.search(queryset, search_term, sees_args), False

    # What `changelist` has put together for a row, see `cq_admin.task_list.cells`.

    @admin.display(description=_("task"))
    def shown_name(self, task: Any) -> str:
        return task.cells.name  # type: ignore[no-any-return]

    @admin.display(description=_("status"))
    def shown_status(self, task: Any) -> str:
        return task.cells.status  # type: ignore[no-any-return]

    @admin.display(description=_("why"))
    def shown_why(self, task: Any) -> str:
        return task.cells.why  # type: ignore[no-any-return]

    @admin.display(description=_("tries"))
    def shown_tries(self, task: Any) -> str:
        return task.cells.tries  # type: ignore[no-any-return]

    @admin.display(description=_("waited"))
    def shown_waited(self, task: Any) -> str:
        return task.cells.waited  # type: ignore[no-any-return]

    @admin.display(description=_("took"))
    def shown_took(self, task: Any) -> str:
        return task.cells.took  # type: ignore[no-any-return]

    @admin.display(description=_("when"))
    def shown_when(self, task: Any) -> str:
        return task.cells.when  # type: ignore[no-any-return]

    # --- one task ---------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # The template shows everything; none of it is a field to fill in.
        return []

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Task | None = None,
    ) -> HttpResponse:
        if obj is not None:
            reader = Reader(
                self.get_queryset(request),
                self.has_view_args_permission(request, obj),
                self.has_view_log_permission(request, obj),
            )
            detail = Detail(obj, self.admin_site.name, timezone.now(), reader)
            context["cq_detail"] = detail
            context["cq_question"] = answering.shown(self, request, obj)
            context["cq_summary"] = Summary(detail)
            context["cq_sections"] = facts.sections(detail)
            context["cq_steps"] = steps_of(detail)
            context["cq_tries"] = tries_of(detail)
            context["cq_graph"] = (
                detail.graph() if graph.is_asked(request.GET) else None
            )
            context["cq_other_view"] = graph.other_view(request.GET)
            if self.has_view_stack_permission(request, obj):
                context["cq_stacks"] = stacks.of_task(obj, detail.now)
                context["cq_stack_url"] = self._stack_url(request, detail)
            most = context["cq_summary"].most_tries
            context["cq_live"] = live.live_of(request, detail, most)
            context["cq_verbs"] = self._verb_buttons(request, obj)
            context["cq_again_url"] = self._again_url(request, obj)
            context["cq_of_url"] = self._of_url(request, obj.name)
            context["cq_heading"] = titled(obj.name, obj.pk)
            context["cq_copy_id"] = copy_button(str(obj.pk))
            context["trail"] = Trail.to(self, context["cq_heading"])
            # Django writes the name into the title as it stands; this row is never saved.
            obj.name = visible(obj.name)
            context["subtitle"] = str(obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _stack_url(self, request: HttpRequest, detail: Detail) -> str:
        """Return where the stack of a task may be asked for; nothing if nowhere."""
        workers: Any = self.admin_site._registry.get(Worker)
        row = detail.worker_row
        if workers is None or row is None or detail.task.status != Status.RUNNING:
            return ""
        return str(workers.stack_url(request, row))

    # --- several at once --------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        # Before those that begin with the id of a task.
        own = [*many_urls(self, TaskAdminMixin), *saved_view_urls(self)]
        own += [*export_urls(self), *live.urls(self)]
        own += [*log_urls(self), *value_urls(self), *answering.urls(self)]
        return own + super().get_urls()


class TaskAdmin(TaskAdminMixin):
    """Tasks in the admin that comes with Django."""
