"""Pages of rows that only cq itself writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lookups import ShownLookups
from .time_limit import LimitedPages

if TYPE_CHECKING:
    from django.http import HttpRequest


class ReadOnlyAdmin(LimitedPages, ShownLookups):
    """A page on which nobody adds, edits or deletes, whatever the permissions."""

    class Media:
        css = {"all": ("cq_admin/cq.css",)}  # noqa: RUF012

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Others may wait for a single row: only whole trees go, by their `result_ttl`.
        return False
