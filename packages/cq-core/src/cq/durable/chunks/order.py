"""The order of a query by columns that are unique together, and the place of a row in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Q, QuerySet
from django.db.models.constraints import UniqueConstraint
from django.db.models.query import ModelIterable

if TYPE_CHECKING:
    from collections.abc import Sequence


class Order:
    """The columns of an order, each with whether it descends.

    Raises TypeError where rows could not be told apart by them.
    """

    def __init__(self, rows: QuerySet[Any]) -> None:
        if not isinstance(rows, QuerySet):
            raise TypeError(f"each() goes over a query set, and {rows!r} is none")
        if rows.query.is_sliced or rows._iterable_class is not ModelIterable:
            raise TypeError(
                "each() goes over whole objects, and chooses its own slices; give it a "
                "query set without values() and without a slice"
            )
        self._model = rows.model
        self.columns = [self._column(one) for one in _order_of(rows)]
        if not _is_unique(self._model, {field.name for field, _ in self.columns}):
            raise TypeError(
                f"{_WANTED} {self._model.__name__} has an order by "
                f"{self.texts()[1:] or 'nothing'}"
            )

    def _column(self, given: Any) -> tuple[Field[Any, Any], bool]:
        if not isinstance(given, str) or given == "?":
            raise TypeError(f"{_WANTED} It was given {given!r}")
        name = given.removeprefix("-")
        try:
            field = (
                self._model._meta.pk
                if name == "pk"
                else self._model._meta.get_field(name)
            )
        except FieldDoesNotExist:
            field = None
        if not isinstance(field, Field) or not field.concrete or field.null:
            raise TypeError(f"{_WANTED} {name!r} is no such column, or may be NULL")
        return field, given.startswith("-")

    def texts(self) -> list[str]:
        """Return it as text: the model, then its columns."""
        columns = [f"{'-' * down}{field.name}" for field, down in self.columns]
        return [self._model._meta.label, *columns]

    def key_of(self, row: Any) -> list[Any]:
        """Return the place of a row."""
        return [getattr(row, field.attname) for field, _ in self.columns]

    def after(self, key: Sequence[Any]) -> Q:
        """Return the condition that a row comes after that place."""
        found, same = Q(), Q()
        for (field, down), value in zip(self.columns, key, strict=True):
            beyond = "lt" if down else "gt"
            found |= same & Q(**{f"{field.attname}__{beyond}": value})
            same &= Q(**{field.attname: value})
        return found


_WANTED = (
    "each() wants an order by columns that are unique together and never NULL, such as "
    '.order_by("pk"), to go on behind the last row.'
)


def _order_of(rows: QuerySet[Any]) -> Sequence[Any]:
    query = rows.query
    if query.extra_order_by:
        return query.extra_order_by
    if query.order_by:
        return query.order_by
    return (rows.model._meta.ordering or ()) if query.default_ordering else ()


def _is_unique(model: Any, names: set[str]) -> bool:
    meta = model._meta
    together = [set(some) for some in meta.unique_together]
    together += [
        set(one.fields)
        for one in meta.constraints
        if isinstance(one, UniqueConstraint) and one.fields and one.condition is None
    ]
    together += [{f.name} for f in meta.concrete_fields if f.unique or f.primary_key]
    pk_fields = getattr(meta, "pk_fields", ())
    together.append({field.name for field in pk_fields} or {meta.pk.name})
    return any(some and some <= names for some in together)
