"""The schedules of a name, where cq-scheduler is installed and the reader sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.urls import reverse

from cq.conf import conf
from cq_admin.display.html import moment, visible

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

MOST = 50


class Schedule(NamedTuple):
    """A schedule, as it is shown."""

    url: str
    when: str
    next_run: Any
    enabled: bool


def schedules(
    request: HttpRequest, site: AdminSite, name: str
) -> tuple[list[Schedule], bool]:
    """Return the schedules that make tasks of a name, and whether there are more."""
    if not apps.is_installed("cq_scheduler"):
        return [], False
    model = apps.get_model("cq_scheduler", "RepeatingTask")
    pages = site._registry.get(model)
    if pages is None or not pages.has_view_permission(request):
        return [], False
    rows = pages.get_queryset(request).using(conf.DATABASE).filter(name=name)
    found = list(rows.order_by("pk")[: MOST + 1])
    return [_shown(site, row) for row in found[:MOST]], len(found) > MOST


def _shown(site: AdminSite, row: Any) -> Schedule:
    url = reverse(f"{site.name}:cq_scheduler_repeatingtask_change", args=[row.pk])
    when = row.crontab or row.interval or row.at or row
    return Schedule(url, visible(when), moment(row.next_run), row.enabled)
