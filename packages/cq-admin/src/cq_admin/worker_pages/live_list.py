"""The list of workers as a page that keeps itself up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.template.response import TemplateResponse

from cq.live.whole import Whole
from cq_admin.display.live_parts import live_page, wants_parts

if TYPE_CHECKING:
    from django.http import HttpRequest

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class LiveList(ModelAdmin):
    """The list, or only its parts that change: put it behind what limits the time."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        live = {"cq_live": live_page(request, Whole.WORKERS)}
        page = super().changelist_view(request, {**live, **(extra_context or {})})
        if wants_parts(request) and isinstance(page, TemplateResponse):
            page.template_name = "cq_admin/worker_parts.html"
        return page
