"""The list of tasks over a table of millions: what it finds, counts and shows."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.paginator import Paginator
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.ids import moment_of
from cq_admin.display.html import recent, visible
from cq_admin.task_list.cells import (
    HEAVY_COLUMNS,
    Columns,
    relatives_of,
    with_texts,
)
from cq_admin.task_list.counting import MOST_COUNTED, capped, count
from cq_admin.task_list.matching import Matcher, any_case
from cq_admin.task_list.orders import (
    AFTER,
    BEFORE,
    PARAMETERS,
    Place,
    links,
    place_of,
    said,
    text_of,
    way_on,
)
from cq_admin.task_list.serving import Serving
from cq_admin.task_list.sources import Source, source
from cq_admin.task_list.tabs import tabs
from cq_admin.task_list.terms import parse
from cq_admin.task_list.wanted import Wanted
from cq_admin.task_list.windows import Found, Look

from .choosing import CappedCount
from .filters import TaskFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class Further(NamedTuple):
    """How far it was looked for a page that is not full, and where to go on."""

    looked_at: str
    back_to: SafeString
    query: str


class TaskChangeList(ChangeList):
    """The list: a page of rows from where the address says, each found by an index."""

    #: Seconds that pass while it looks for rows.
    clock: Callable[[], float] = staticmethod(time.monotonic)
    found: Found | None = None
    further: Further | None = None
    #: By the parameter that they set.
    links: Mapping[str, str] = MappingProxyType({})
    source: Source | None = None
    place: Place | None = None

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.now = timezone.now()
        self.serving = Serving(conf.DATABASE)
        super().__init__(request, *args, **kwargs)

    # --- what is wanted ---------------------------------------------------------------

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in PARAMETERS}

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        # What is filtered otherwise begins at its top.
        found: str = super().get_query_string(
            new_params, [*(remove or ()), *PARAMETERS]
        )
        return found

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> QuerySet[Any]:
        """Return all rows of this list, for what is done to all of them."""
        self.wanted = self._wanted(request)
        rows = self.wanted.among(any_case(self.root_queryset))
        if self.wanted.is_searched and request.POST.get("select_across") == "1":
            # Of what is found by its texts, only what was seen.
            rows = rows.filter(pk__in=self.found.ids if self.found else [])
        return rows.order_by("-pk").defer(*HEAVY_COLUMNS)

    def _wanted(self, request: HttpRequest) -> Wanted:
        specs = self.get_filters(request)
        self.filter_specs, self.has_filters, lookups, _duplicates, active = specs
        self.has_active_filters = active
        self.clear_all_filters_qs = self.get_query_string(
            new_params=lookups, remove=self.get_filters_params()
        )
        wanted = Wanted(lookups=self._compared(lookups))
        others: list[Any] = []
        for spec in self.filter_specs:
            if not isinstance(spec, TaskFilter):
                rows = spec.queryset(request, self.root_queryset)
                if rows is not None and rows is not self.root_queryset:
                    others.append(partial(spec.queryset, request))
                continue
            try:
                wanted = spec.narrow(wanted)
            except ValueError as error:
                raise IncorrectLookupParameters(error) from error
        terms = parse(self.query, self.now)
        workers = self.serving.workers_named(terms.workers)
        wanted = replace(wanted.also(terms, workers), filters=tuple(others))
        if wanted.paths and not self._sees_args(request):
            needed = _("Arguments are searched by those who may see them.")
            wanted = replace(wanted, problems=(*wanted.problems, needed))
        return wanted

    def _compared(self, lookups: dict[str, Any]) -> Any:
        """Return what an address compares by Django's words, if it can be compared."""
        found = build_q_object_from_lookup_parameters(lookups)
        try:
            self.root_queryset.filter(found)
        except (SuspiciousOperation, ImproperlyConfigured):
            raise
        except Exception as error:  # of many kinds, as Django says there
            raise IncorrectLookupParameters(error) from error
        return found or None

    def _sees_args(self, request: HttpRequest, row: Any = None) -> bool:
        return bool(self.model_admin.has_view_args_permission(request, row))  # type: ignore[attr-defined]

    @property
    def is_narrowed(self) -> bool:
        """Whether there are tasks that are not for the reader."""
        return bool(self.root_queryset.query.where)

    # --- what is found ----------------------------------------------------------------

    def get_results(self, request: HttpRequest) -> None:
        found = self._look(request)
        rows = self._rows(request, found)
        self.counts = count(conf.DATABASE, self.root_queryset, self.wanted, self.source)
        self.tabs = list(tabs(self.counts, self.wanted))
        self.result_list = rows
        self._link(found, rows)
        #: How many there are, where that is known.
        self.known = self.counts.own
        if self.place is None and not self.links and self.further is None:
            self.known = len(rows)
        number = len(rows) if self.known is None else self.known
        self.result_count = (
            CappedCount(MOST_COUNTED) if number > MOST_COUNTED else number
        )
        self.known_shown = None if self.known is None else capped(self.known)
        self.show_full_result_count = False
        self.full_result_count = None
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(rows, self.list_per_page)
        self.zone = timezone.get_current_timezone_name() if settings.USE_TZ else ""
        self.sees_args = self._sees_args(request)
        self.search_help_text = (
            _("Words of the name, of tags and of the arguments, or:")
            if self.sees_args
            else _("Words of the name and of tags, or:")
        )

    def _look(self, request: HttpRequest) -> Found:
        wanted = self.wanted
        if wanted.is_impossible:
            self.found = Found([])
            return self.found
        matcher = None
        if wanted.is_searched:
            matcher = Matcher(wanted, self._sees_args(request))
        self.source = source(
            self.root_queryset,
            wanted,
            lambda: self.serving.pairs,
            searched=matcher is not None,
        )
        try:
            self.place = place_of(self.source.order, request.GET)
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
        look = Look(conf.DATABASE, self.source, matcher, self.clock)
        self.found = look.page(self.place, self.list_per_page)
        return self.found

    def _rows(self, request: HttpRequest, found: Found) -> list[Any]:
        """Return the rows of a page with what is shown of them, in its order."""
        if not found.ids:
            return []
        sees_args = self._sees_args(request)
        there = with_texts(self.root_queryset.filter(pk__in=found.ids), sees_args)
        by_id = {row.pk: row for row in there.order_by()}
        rows = [by_id[pk] for pk in found.ids if pk in by_id]
        rows = [
            row
            for row in rows
            if row.pk not in found.by_arguments or self._sees_args(request, row)
        ]
        relatives = relatives_of(rows)
        names = {}
        if relatives:
            seen = self.root_queryset.filter(pk__in=relatives).order_by()
            names = dict(seen.values_list("pk", "name"))
        columns = Columns(
            self.now,
            self.serving,
            names,
            self._url_of,
            partial(self._sees_args, request),
        )
        for row in rows:
            row.cells = columns.cells(row)
            # Django writes these as they stand: into a label of each row.
            row.name = visible(row.name)
            row.queue = visible(row.queue)
        return rows

    def _url_of(self, pk: Any) -> str:
        site = self.model_admin.admin_site.name
        return reverse(f"{site}:cq_task_change", args=[pk])

    def _link(self, found: Found, rows: list[Any]) -> None:
        """Say where to go on."""
        if self.source is None:
            return
        order, place = self.source.order, self.place
        if found.reached is not None:
            way = way_on(order, place)
            self.further = Further(
                number_format(found.looked_at, force_grouping=True),
                recent(moment_of(found.reached), self.now),
                self._query(way, (found.reached,)),
            )
        if rows:
            ends = order.key_of(rows[0]), order.key_of(rows[-1])
            found_links = links(order, place, ends, more=found.more)
            self.links = {
                way: self._query(way, key) for way, key in found_links.items()
            }

    def _query(self, way: str, key: tuple[Any, ...]) -> str:
        found: str = super().get_query_string({way: text_of(key)}, list(PARAMETERS))
        return found

    @property
    def older(self) -> str | None:
        return self.links.get(BEFORE)

    @property
    def newer(self) -> str | None:
        return self.links.get(AFTER)

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the address says beside the search, which a new search keeps."""
        dropped = (SEARCH_VAR, *PARAMETERS)
        given = self.filter_params.items()
        return [(n, v) for n, values in given if n not in dropped for v in values]

    @property
    def top(self) -> str | None:
        """The link to the first page, from any other."""
        return None if self.place is None else self.get_query_string()

    @property
    def order_said(self) -> str:
        """The order in words, where it is not that of the newest."""
        if self.source is None:
            return ""
        return said(self.source.order, any(part.lanes for part in self.source.parts))
