"""The columns by which a list may be filtered from its address: those that it shows.

Django lets every column of the model be compared with anything, by a pattern as well. Who
may not see a value could read it letter by letter so, from whether a row is listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

#: How a column may be compared; "" is `exact`.
COMPARISONS = frozenset(
    ("", "exact", "in", "isnull", "gt", "gte", "lt", "lte", "startswith", "istartswith")
)


class ShownLookups(ModelAdmin):
    """A list that compares nothing but the columns it names, and its own filters."""

    #: Columns that everybody sees who sees the list.
    lookup_columns: ClassVar[tuple[str, ...]] = ()

    def lookup_allowed(
        self, lookup: str, value: str, request: HttpRequest | None = None
    ) -> bool:
        if "\x00" in str(value):  # PostgreSQL takes none
            raise IncorrectLookupParameters(f"{lookup} has a NUL")
        column, _, comparison = lookup.partition("__")
        columns = {*self.lookup_columns, *self._filtered(request)}
        if column not in columns or comparison not in COMPARISONS:
            return False
        return bool(super().lookup_allowed(lookup, value, request))  # type: ignore[arg-type]

    def _filtered(self, request: HttpRequest | None) -> Iterator[str]:
        """Give what `list_filter` names: parameters of filters, and columns."""
        for item in self.get_list_filter(request):  # type: ignore[arg-type]
            if isinstance(item, str):
                yield item
            elif isinstance(item, (list, tuple)):
                yield str(item[0])
            else:
                yield getattr(item, "parameter_name", None) or ""
