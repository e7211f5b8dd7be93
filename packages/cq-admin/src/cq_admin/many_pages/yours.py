"""The tasks that somebody may act on, where a project's own pages narrow them.

A worker that does an operation knows no request, so it cannot ask such pages. What it is
given then are ids that were asked about, one by one, when somebody pressed the button.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.conf import conf
from cq.operations.filter import MOST_IDS, TaskFilter
from cq.operations.found import Found

if TYPE_CHECKING:
    from django.http import HttpRequest

    from cq.operations.verbs import Verb


class TooMany(Exception):
    """More tasks than can be asked about within a request."""


@dataclass(frozen=True, slots=True)
class Yours:
    """A filter that has nothing but what somebody may act on."""

    filter: TaskFilter
    #: Tasks that they see, and may not do this to.
    denied: int = 0


def may(pages: Any, request: HttpRequest, verb: Verb, task: Any = None) -> bool:
    """Tell whether somebody may do that at all, or to one task."""
    allowed = getattr(pages, f"has_{verb.permission}_permission")
    return bool(pages.has_view_permission(request, task) and allowed(request, task))


def yours(
    pages: Any, own: type, request: HttpRequest, chosen: TaskFilter, verb: Verb
) -> Yours:
    """Return a filter without what is not theirs; `own` is the class that pages come with.

    Raises TooMany where they are narrowed and there are more than can be asked about.
    """
    if not _is_narrowed(pages, own, request, verb):
        return Yours(chosen)
    found = Found(conf.DATABASE, chosen, verb)
    rows = chosen.narrow(pages.get_queryset(request))
    rows = rows.filter(status__in=sorted(found.statuses)).order_by("-pk")
    heavy = ("args", "kwargs", "result", "error", "traceback", "options")
    # By their keys: a join of the project's may give a task twice.
    tasks = {task.pk: task for task in rows.defer(*heavy)[: MOST_IDS + 1]}
    if len(tasks) > MOST_IDS:
        said = _(
            "These pages show you a part of the tasks only, so each is looked at by "
            "itself, and no more than %(n)s at once. Narrow the filter, by a name or a "
            "time, until there are no more."
        )
        raise TooMany(said % {"n": f"{MOST_IDS:,}"})
    ids = tuple(pk for pk, task in tasks.items() if may(pages, request, verb, task))
    return Yours(replace(chosen, ids=ids), len(tasks) - len(ids))


def _is_narrowed(pages: Any, own: type, request: HttpRequest, verb: Verb) -> bool:
    """Tell whether a project has put anything of its own before its tasks."""
    for hook in ("has_view_permission", f"has_{verb.permission}_permission"):
        if hook in vars(pages) or getattr(type(pages), hook) is not getattr(own, hook):
            return True
    query = pages.get_queryset(request).query
    joined = len(query.alias_map) > 1
    return bool(query.where or query.is_sliced or query.combinator or joined)
