"""What an export is asked for: the list's own filters and search, and where it begins."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import QueryDict
from django.utils.translation import gettext as _

from cq_admin.display.html import visible
from cq_admin.saved_views.rows import without_paging
from cq_admin.task_list.matching import Matcher
from cq_admin.task_list.orders import AFTER, BEFORE, NEWEST, Place, place_of
from cq_admin.task_list.sources import Source, source

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

_SINCE = "since"


class Asked(NamedTuple):
    """The tasks of an export, the newest first."""

    #: All that there are for the reader.
    base: QuerySet[Any, Any]
    #: None: there can be nothing.
    source: Source | None
    matcher: Matcher | None
    #: Where it begins; None: at the newest.
    place: Place | None
    #: The address to go on from there, but for the place.
    query: str


def asked(pages: Any, request: HttpRequest) -> Asked:
    """Return what the list would show; raises ValueError where that is not known."""
    place = _place(request.GET)
    query = without_paging(request.GET)
    listed = copy(request)
    listed.method, listed.GET = "GET", QueryDict(query)
    try:
        shown = pages.get_changelist_instance(listed)
    except IncorrectLookupParameters as error:
        said = _("The list does not understand all that it is asked for.")
        raise ValueError(said) from error
    wanted = shown.wanted
    if wanted.problems:
        raise ValueError(" ".join(map(str, wanted.problems)))
    query = _at_one_moment(query, wanted.since)
    if wanted.is_impossible:
        return Asked(shown.root_queryset, None, None, None, query)
    matcher = None
    if wanted.is_searched:
        matcher = Matcher(wanted, bool(pages.has_view_args_permission(request)))
    # Not as workers will claim them, or by how long they run: those places change while
    # they are read, and an id stays.
    found = source(
        shown.root_queryset, wanted, lambda: shown.serving.pairs, searched=True
    )._replace(order=NEWEST)
    if found.cut:
        raise ValueError(
            _("There are more queues than are gone through here: choose one.")
        )
    return Asked(shown.root_queryset, found, matcher, place, query)


def _place(query: QueryDict) -> Place | None:
    given = {name: str(query[name]) for name in (AFTER, BEFORE) if query.get(name)}
    try:
        place = place_of(NEWEST, given)
    except ValueError:
        place = None
    if given and (place is None or AFTER in given):
        text = ", ".join(f"{name}={value}" for name, value in given.items())
        said = _(
            'An export begins at "before=" and the id of a task, not at %(place)s.'
        )
        raise ValueError(said % {"place": visible(text[:100])})
    return place


def _at_one_moment(query: str, since: datetime | None) -> str:
    """Return an address that has "an hour ago" as what it was when this was asked."""
    found = QueryDict(query, mutable=True)
    if since is not None and _SINCE in found:
        found[_SINCE] = since.isoformat()
    return found.urlencode()
