"""The named limits: their numbers, what is set of them, what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.db.clock import database_now
from cq.limits.operating.changing import NUMBERS
from cq.limits.operating.standing import standings
from cq_admin.display.html import EMPTY, named, recent
from cq_admin.figures.links import linked
from cq_admin.figures.page import FiguresPage
from cq_admin.figures.sorting import Column, table
from cq_admin.figures.words import at_least

from .setting import LimitPages
from .words import given_number, number_now, set_by

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from cq.limits.operating.standing import Standing


class LimitAdminMixin(LimitPages, FiguresPage):
    """The page, for any theme: put it before the `ModelAdmin` of another one."""

    template = "cq_admin/limits.html"

    def shown(self, request: HttpRequest) -> dict[str, Any]:
        now = database_now(conf.DATABASE)
        columns = [*_columns(now)]
        if self.may_set(request):
            columns.append(self._link())
        found = standings(conf.DATABASE)
        return {
            "cq_now": recent(now, now),
            "cq_limits": table(request.GET, "limits", columns, found, "limit"),
            "cq_none": _("CQ_LIMITS names no limit."),
        }

    def _link(self) -> Column:
        def shown(one: Standing) -> object:
            return linked(self.set_url(one.name), _("change"))

        return Column("change", _("Change"), shown, lambda one: one.name, first=False)


class LimitAdmin(LimitAdminMixin):
    """The named limits in the admin that comes with Django."""


def _columns(now: datetime) -> list[Column]:
    labels = {
        "rate": _("rate"),
        "burst": _("burst"),
        "concurrency": _("at once"),
    }
    return [
        Column("limit", _("limit"), _name, lambda one: one.name, first=False),
        *(_number(name, labels[name]) for name in NUMBERS),
        Column(
            "running",
            _("running"),
            lambda one: at_least(one.running, one.more),
            lambda one: one.running,
        ),
        Column(
            "waiting",
            _("lanes that wait"),
            lambda one: at_least(one.waiting, one.more),
            lambda one: one.waiting,
        ),
        Column(
            "closed",
            _("closed until"),
            lambda one: recent(one.closed_until, now) if one.closed_until else EMPTY,
            lambda one: one.closed_until,
        ),
        Column(
            "set",
            _("what is set"),
            lambda one: set_by(one, now),
            lambda one: one.set and one.set.since,
        ),
    ]


def _name(one: Standing) -> SafeString:
    if one.given is None:
        text = _("CQ_LIMITS has it no more")
        return format_html(
            '{} <span class="cq-state cq-state-notable">{}</span>',
            named(one.name),
            text,
        )
    if one.key == one.name:
        return named(one.name)
    return format_html(
        '{} <span class="cq-quiet" dir="ltr">{}</span>', named(one.name), named(one.key)
    )


def _number(name: str, label: str) -> Column:
    def key(one: Standing) -> Any:
        limit = one.now
        if limit is None or name == "rate":
            return (
                None if limit is None or limit.interval is None else 1 / limit.interval
            )
        return given_number(limit, name)

    return Column(name, label, lambda one: number_now(one, name), key)
