"""The pages of tasks: nothing on them can be edited, only retried and revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from cq.conf import conf
from cq.errors import CQError

from . import facts, filters, listing
from .detail import Detail
from .readable import bar, breakable, duration, recent, state, visible
from .readonly import ReadOnlyAdmin
from .verbs import RETRY, REVOKE, VERBS, Verb

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.urls import URLPattern

    from cq.models import Task


#: Tasks that one action on the list reaches.
AT_ONCE = 1_000
ERRORS_SHOWN = 3


class TaskAdminMixin(ReadOnlyAdmin):
    """All that the pages do; put it before a `ModelAdmin` of another admin theme."""

    list_display = (
        "shown_name",
        "shown_status",
        "queue",
        "shown_submitted",
        "shown_duration",
        "shown_progress",
    )
    list_filter = (
        "status",
        filters.LevelFilter,
        filters.QueueFilter,
        filters.NameFilter,
        filters.ParentFilter,
        filters.RootFilter,
        filters.WorkerFilter,
    )
    #: Makes Django show the field; `get_search_results` does the rest.
    search_fields = ("name",)
    search_help_text = _(
        "An id, or words from the name and the arguments of the newest 100,000 tasks."
    )
    ordering = ("-id",)
    sortable_by = ()
    paginator = listing.CappedPaginator
    show_full_result_count = False
    list_select_related = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("retry_selected", "revoke_selected")

    # --- what is allowed --------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.view_task")

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.retry_task")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.revoke_task")

    # --- the list ---------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        return super().get_queryset(request).using(conf.DATABASE)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return listing.TaskChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        return listing.search(queryset, search_term), False

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        # By hand in the address these would read megabytes of millions of rows.
        if lookup.partition("__")[0] in listing.HEAVY:
            return False
        return super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("name"))
    def shown_name(self, task: Task) -> str:
        return breakable(task.name)

    @admin.display(description=_("status"))
    def shown_status(self, task: Task) -> str:
        return state(task.status)

    @admin.display(description=_("submitted"))
    def shown_submitted(self, task: Task) -> str:
        return recent(task.submitted, timezone.now())

    @admin.display(description=_("duration"))
    def shown_duration(self, task: Task) -> str:
        return duration(task, timezone.now())

    @admin.display(description=_("progress"))
    def shown_progress(self, task: Task) -> str:
        message = task.progress_message
        return bar(task.progress_done or 0, task.progress_total, message)

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
            detail = Detail(obj, self.admin_site.name, timezone.now())
            context["cq_detail"] = detail
            context["cq_sections"] = [
                (None, facts.outcome(detail)),
                (_("Details"), facts.runs(detail) + facts.times(detail)),
            ]
            context["cq_verbs"] = [
                (verb.label, reverse(self._url(verb.name), args=[obj.pk]))
                for verb in VERBS
                if verb.applies(obj) and self._may(request, verb, obj)
            ]
            # Django writes it into the title as it stands, and nobody saves this.
            obj.name = visible(obj.name)
            context["subtitle"] = str(obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    # --- retry and revoke -------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{verb.name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"cq_task_{verb.name}",
            )
            for verb, view in ((RETRY, self.retry_view), (REVOKE, self.revoke_view))
        ]
        return own + super().get_urls()

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, RETRY)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, REVOKE)

    @admin.action(permissions=["retry"], description=_("Retry selected tasks"))
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._act_on_all(request, queryset, RETRY)

    @admin.action(permissions=["revoke"], description=_("Revoke selected tasks"))
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._act_on_all(request, queryset, REVOKE)

    def _act(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        # Before it is looked for: who may not act learns nothing of what there is.
        if not self._may(request, verb):
            raise PermissionDenied
        task = self.get_object(request, object_id)
        if task is None:
            raise Http404(f"There is no task {object_id!r}.")
        if not self._may(request, verb, task):
            raise PermissionDenied
        error = self._apply(request, verb, task)
        if error is None:
            said = verb.said % {"n": 1}
            self.message_user(request, said, messages.SUCCESS)
        else:
            self.message_user(request, error, messages.ERROR)
        return HttpResponseRedirect(reverse(self._url("change"), args=[task.pk]))

    def _act_on_all(
        self, request: HttpRequest, queryset: QuerySet[Task], verb: Verb
    ) -> None:
        tasks = list(queryset[: AT_ONCE + 1])
        errors = [self._apply(request, verb, task) for task in tasks[:AT_ONCE]]
        refused = [error for error in errors if error is not None]
        if done := len(errors) - len(refused):
            said = verb.said % {"n": done}
            self.message_user(request, said, messages.SUCCESS)
        for error in refused[:ERRORS_SHOWN]:
            self.message_user(request, error, messages.ERROR)
        if more := len(refused[ERRORS_SHOWN:]):
            said = ngettext("And %(n)s more.", "And %(n)s more.", more) % {"n": more}
            self.message_user(request, said, messages.ERROR)
        if len(tasks) > AT_ONCE:
            rest = _("These were the first %(n)s; the others are as they were.")
            self.message_user(request, rest % {"n": AT_ONCE}, messages.WARNING)

    def _apply(self, request: HttpRequest, verb: Verb, task: Task) -> str | None:
        """Do it and log it; return what is to be said where it can't be done."""
        try:
            verb.apply(task, visible(request.user.get_username()))
        except CQError as error:
            return visible(error)
        self.log_change(request, task, str(verb.logged))
        return None

    def _may(self, request: HttpRequest, verb: Verb, task: Task | None = None) -> bool:
        allowed = getattr(self, f"has_{verb.name}_permission")
        return self.has_view_permission(request, task) and allowed(request, task)

    def _url(self, page: str) -> str:
        return f"{self.admin_site.name}:cq_task_{page}"


class TaskAdmin(TaskAdminMixin):
    """Tasks in the admin that comes with Django."""
