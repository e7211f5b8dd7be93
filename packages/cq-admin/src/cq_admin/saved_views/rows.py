"""The saved views of somebody: their own, and those that are shared with all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.http import QueryDict
from django.utils.functional import cached_property

from cq.conf import conf
from cq.tables.queries import saved_views
from cq_admin.display.html import visible
from cq_admin.many_pages.address import PAGING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

#: Of one user, and shared ones that are shown.
MOST_VIEWS = 100


#: Somebody's own, and those of others: none of the former is lost behind the latter. Of
#: parts with an end of their own the ORM makes no union that SQLite takes.
_BOTH = """
    SELECT * FROM (
        SELECT * FROM cq_views WHERE owner = %s ORDER BY id DESC LIMIT %s
    ) AS mine
    UNION ALL
    SELECT * FROM (
        SELECT * FROM cq_views WHERE shared = %s AND owner <> %s
        ORDER BY id DESC LIMIT %s
    ) AS of_others
"""


class Shown(NamedTuple):
    """A saved view as the list shows it."""

    pk: int
    name: str
    query: str
    is_current: bool
    shared: bool
    #: Whether the reader may delete it.
    deletable: bool


def owner_of(user: Any) -> str:
    """Return the key of a user as text."""
    return str(user.pk)


def for_reader(user: Any, query: QueryDict) -> list[Shown]:
    """Return the views that somebody has, in one bounded statement.

    query: what the list is asked for now.
    """
    owner, now = owner_of(user), without_paging(query)
    rows = saved_views(conf.DATABASE)
    found = rows.raw(_BOTH, [owner, MOST_VIEWS, True, owner, MOST_VIEWS])
    return [
        Shown(
            row.pk,
            visible(row.name),
            written := without_paging(QueryDict(row.query)),
            written == now,
            row.shared,
            row.owner == owner or user.is_superuser,
        )
        for row in sorted(found, key=lambda row: (row.name.casefold(), row.pk))
    ]


class Saved:
    """What the list has of saved views, read when it is shown."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def views(self) -> list[Shown]:
        return for_reader(self._request.user, self._request.GET)

    @property
    def query(self) -> str:
        """What there is to be saved."""
        return without_paging(self._request.GET)

    @property
    def may_share(self) -> bool:
        return may_share(self._request)


def may_share(request: HttpRequest) -> bool:
    """Tell whether somebody's views may be for all who see the list."""
    return bool(request.user.has_perm("cq.share_view"))


def without_paging(query: QueryDict) -> str:
    """Return a query string of the list, but for the page of it, as an address has it.

    Written anew, so it is nothing but parameters whoever has stored it.
    """
    kept = query.copy()
    for name in PAGING:
        kept.pop(name, None)
    return _ordered(kept.lists()).urlencode()


def _ordered(lists: Iterable[tuple[str, list[str]]]) -> QueryDict:
    found = QueryDict(mutable=True)
    for name, values in sorted(lists):
        # An empty search is none.
        if values != [""]:
            found.setlist(name, values)
    return found
