"""The views of the list that come with it: links with how many tasks each has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.utils.translation import gettext_lazy as _

from cq.status import Status

from .counting import capped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.utils.functional import Promise

    from .counting import Counts
    from .wanted import Wanted

#: What somebody has to look after: not what somebody has withdrawn, what was not needed,
#: or what cq itself tries again.
_VIEWS: tuple[tuple[str | Promise, tuple[Status, ...]], ...] = (
    (
        _("Needs attention"),
        (Status.FAILURE, Status.LOST, Status.EXPIRED, Status.INCOMPLETE),
    ),
    (_("Running"), (Status.RUNNING,)),
    (_("Waiting"), (Status.QUEUED,)),
    (_("Later"), (Status.PENDING, Status.RETRY, Status.SUSPENDED)),
    (_("All"), ()),
)


class Tab(NamedTuple):
    """A view as it is shown."""

    label: str | Promise
    query: str
    number: str
    is_current: bool


def tabs(counts: Counts, wanted: Wanted) -> Iterator[Tab]:
    """Give the views."""
    for label, statuses in _VIEWS:
        values = [status.value for status in statuses]
        number = sum(counts.all[value] for value in values) if values else counts.total
        current = wanted.has_only_statuses and (
            wanted.statuses or frozenset()
        ) == frozenset(values)
        yield Tab(
            label,
            f"?status={','.join(values)}" if values else "?",
            capped(number),
            current,
        )
