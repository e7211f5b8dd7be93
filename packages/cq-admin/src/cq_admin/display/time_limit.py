"""The limit of time for what a page asks the database, on PostgreSQL.

A search or a filter over millions of rows must not hold a connection for minutes, once
for each click of whoever may look.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import OperationalError, connections, transaction
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.db.error_codes import is_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest, HttpResponse

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class LimitedPages(ModelAdmin):
    """Pages of which no query takes longer than ``CQ_ADMIN_TIMEOUT``."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        view = super().changelist_view
        return self._limited(request, lambda: view(request, extra_context))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().changeform_view
        return self._limited(request, lambda: view(request, *args, **kwargs))

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().history_view
        return self._limited(request, lambda: view(request, *args, **kwargs))

    def _limited(self, request: HttpRequest, view: Callable[[], Any]) -> HttpResponse:
        # What is changed by a POST is not given up half-way.
        seconds = _seconds()
        if request.method != "GET" or not seconds:
            return view()  # type: ignore[no-any-return]
        try:
            with time_limit():
                response = view()
                # Templates ask as well: what is shown is rendered within the limit.
                if hasattr(response, "render"):
                    response.render()
        except OperationalError as error:
            if not is_cancelled(error):
                raise
            return self._given_up(request, seconds)
        return response  # type: ignore[no-any-return]

    def _given_up(self, request: HttpRequest, seconds: float) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("This page took too long"),
            "opts": self.opts,
            "seconds": f"{seconds:g}",
        }
        template = "cq_admin/given_up.html"
        return TemplateResponse(request, template, context, status=503)


@contextmanager
def time_limit() -> Iterator[None]:
    """Let no statement of a block take longer than ``CQ_ADMIN_TIMEOUT``, on PostgreSQL."""
    connection = connections[conf.DATABASE]
    seconds = _seconds()
    if not seconds:
        yield
        return
    outermost = not connection.in_atomic_block
    # For this transaction alone: behind a pooler the session is others' next.
    with transaction.atomic(using=conf.DATABASE):
        _limit(connection, f"{seconds * 1000:.0f}ms")
        yield
        if not outermost:
            _limit(connection, None)


def _seconds() -> float:
    """Return how long a statement may take; 0: as long as it does."""
    vendor = connections[conf.DATABASE].vendor
    return (conf.ADMIN_TIMEOUT or 0) if vendor == "postgresql" else 0


def _limit(connection: Any, limit: str | None) -> None:
    with connection.cursor() as cursor:
        if limit is None:
            cursor.execute(
                "SET LOCAL statement_timeout TO DEFAULT; SET LOCAL jit TO DEFAULT"
            )
        else:
            # Nor is a statement compiled: PostgreSQL does so where it expects much work, and
            # of what a page asks it expects far more than there is. It takes half a second.
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), "
                "set_config('jit', 'off', true)",
                [limit],
            )
