"""The overview: is it well, and if not, where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.conf import conf
from cq.live.whole import Whole
from cq_admin.display.html import recent
from cq_admin.display.live_parts import live_page
from cq_admin.figures import ranges
from cq_admin.figures.links import Links
from cq_admin.figures.page import FiguresPage
from cq_admin.figures.pictures import charts
from cq_admin.task_list.serving import Serving

from .attention import notices
from .look import look
from .tables import queues_table, tasks_table
from .tiles import tiles

if TYPE_CHECKING:
    from django.http import HttpRequest


class OverviewAdminMixin(FiguresPage):
    """The page, for any theme: put it before the `ModelAdmin` of another one."""

    template = "cq_admin/overview.html"
    parts_template = "cq_admin/overview_parts.html"

    def shown(self, request: HttpRequest) -> dict[str, Any]:
        serving = Serving(conf.DATABASE)
        now, error = serving.now, ""
        try:
            chosen = ranges.read(request.GET, now)
        except ValueError as problem:
            chosen, error = ranges.hour(now), str(problem)
        links = Links(self, request)
        found = look(conf.DATABASE, chosen, serving)
        context: dict[str, Any] = {
            "cq_error": error,
            # What is wrong with an address will be wrong with it.
            "cq_live": None if error else live_page(request, Whole.OVERVIEW),
            "cq_lengths": list(ranges.lengths(request.GET, chosen)),
            "cq_comparisons": list(ranges.comparisons(request.GET, chosen)),
            "cq_now": recent(now, now),
            "cq_notices": notices(found, links),
            "cq_tiles": list(tiles(found, links)),
            "cq_queues": queues_table(found, links, request.GET),
            "cq_counts": found.figures is not None,
            "cq_words": {
                "range": _("Range"),
                "compare": _("Compared with"),
                "no_queues": _("No queue has work."),
                "no_tasks": _("Nothing has run in this range, or in the compared one."),
            },
        }
        if found.figures is not None:
            context |= {
                "cq_cut": found.figures.cut,
                "cq_charts": list(
                    charts(chosen, found.slots, found.compared, found.marks, now)
                ),
                "cq_tasks": tasks_table(found, links, request.GET),
            }
        return context


class OverviewAdmin(OverviewAdminMixin):
    """The overview in the admin that comes with Django."""
