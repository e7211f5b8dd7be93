"""What saves a view of the list, and deletes one: both by POST alone."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponseRedirect, QueryDict
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from cq.conf import conf
from cq.tables.queries import saved_views
from cq.tables.watcher_rows import LONGEST_QUERY, LONGEST_VIEW_NAME
from cq.text import unstorable
from cq_admin.display.html import visible

from .hidden import is_hidden
from .rows import MOST_VIEWS, may_share, owner_of, without_paging

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class ViewForm(forms.Form):
    """A name, and what the list is asked for."""

    name = forms.CharField(max_length=LONGEST_VIEW_NAME)
    query = forms.CharField(max_length=LONGEST_QUERY, required=False, strip=False)
    shared = forms.BooleanField(required=False)


def urls(pages: Any) -> list[URLPattern]:
    """Return the addresses, to be put before those that begin with the id of a task."""

    def wrapped(view: Any) -> Any:
        return pages.admin_site.admin_view(require_POST(partial(view, pages)))

    return [
        path("views/save/", wrapped(save), name="cq_task_save_view"),
        path("views/<int:pk>/delete/", wrapped(delete), name="cq_task_delete_view"),
    ]


def save(pages: Any, request: HttpRequest) -> HttpResponse:
    """Save a view; one of the same name and owner is replaced."""
    if not pages.has_view_permission(request):
        raise PermissionDenied
    form = ViewForm(request.POST)
    if not form.is_valid():
        wrong = next(iter(form.errors.values()))[0]
        return _back(pages, request, "", visible(wrong), messages.ERROR)
    given = form.cleaned_data
    if given["shared"] and not may_share(request):
        raise PermissionDenied
    query = without_paging(QueryDict(given["query"]))
    if problem := _problem(pages, request, query):
        return _back(pages, request, "", problem, messages.ERROR)
    rows, owner = saved_views(conf.DATABASE), owner_of(request.user)
    values = {"query": query, "shared": given["shared"]}
    mine = rows.filter(owner=owner)
    is_new = not mine.filter(name=given["name"]).exists()
    if is_new and mine.count() >= MOST_VIEWS:
        said = _("You have %(n)s views, which is as many as there may be; delete one.")
        problem = said % {"n": MOST_VIEWS}
        return _back(pages, request, query, problem, messages.ERROR)
    row, _made = rows.update_or_create(owner=owner, name=given["name"], defaults=values)
    said = _("Shared: %(query)s") if given["shared"] else "%(query)s"
    _log(request, row, ADDITION, said % {"query": query})
    told = _("The view %(name)s was saved.") % {"name": visible(row.name)}
    return _back(pages, request, query, told, messages.SUCCESS)


def delete(pages: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Delete one's own view, or as a superuser anybody's."""
    if not pages.has_view_permission(request):
        raise PermissionDenied
    rows = saved_views(conf.DATABASE).filter(pk=min(pk, 2**63 - 1))
    if not request.user.is_superuser:
        rows = rows.filter(owner=owner_of(request.user))
    row = rows.first()
    if row is None:
        raise Http404(f"You have no view {pk}.")
    _log(request, row, DELETION, row.query)
    rows.delete()
    told = _("The view %(name)s was deleted.") % {"name": visible(row.name)}
    return _back(pages, request, "", told, messages.SUCCESS)


def _problem(pages: Any, request: HttpRequest, query: str) -> str | None:
    """Say what of a query string the list does not understand, or is not to be kept."""
    if unstorable(query) or len(query) > LONGEST_QUERY:
        return _("What the list is asked for is too long, or no text, to be kept.")
    asked = copy(request)
    asked.method, asked.GET = "GET", QueryDict(query)
    try:
        shown = pages.get_changelist_instance(asked)
    except (IncorrectLookupParameters, SuspiciousOperation):
        return _("The list does not understand all that it is asked for.")
    if shown.wanted.problems:
        return " ".join(map(str, shown.wanted.problems))
    for where, value in shown.wanted.paths:
        if is_hidden(where, value):
            said = _("It looks for %(path)s, which is hidden and is not kept.")
            return said % {"path": visible(where)}
    return None


def _log(request: HttpRequest, row: Any, flag: int, message: str) -> None:
    user: Any = request.user
    LogEntry.objects.log_actions(user.pk, [row], flag, message, single_object=True)


def _back(
    pages: Any, request: HttpRequest, query: str, told: str, level: int
) -> HttpResponse:
    """Go back to the list of this site, and nowhere else."""
    pages.message_user(request, told, level)
    url = reverse(f"{pages.admin_site.name}:cq_task_changelist")
    return HttpResponseRedirect(f"{url}?{query}" if query else url)
