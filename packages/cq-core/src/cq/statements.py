"""An UPDATE that says which rows it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.models.sql import UpdateQuery

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet


def update_returning(
    queryset: QuerySet[Any], columns: tuple[str, ...] = (), /, **values: Any
) -> list[tuple[Any, ...]]:
    """Update the rows of `queryset`; return (id, *columns) of each one changed.

    One statement where the database has ``UPDATE ... RETURNING``. MySQL has not: there
    the rows are locked, looked at and changed in one transaction.
    """
    using = queryset.db
    connection = connections[using]
    names = ("pk", *columns)
    if connection.vendor == "mysql":
        with transaction.atomic(using=using):
            ids = list(queryset.select_for_update().values_list("pk", flat=True))
            if not ids:
                return []
            changed = queryset.model._base_manager.using(using).filter(pk__in=ids)
            changed.update(**values)
            return list(changed.values_list(*names))
    model = queryset.model
    query: UpdateQuery = queryset.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    try:
        sql, params = query.get_compiler(using).as_sql()
    except EmptyResultSet:  # a filter that nothing can pass
        return []
    fields = [
        model._meta.pk if name == "pk" else model._meta.get_field(name)
        for name in names
    ]
    quoted = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {quoted}", params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    if connection.features.has_native_uuid_field:
        return rows
    return [
        tuple(field.to_python(value) for field, value in zip(fields, row, strict=True))
        for row in rows
    ]


def uuid_param(connection: Any, value: UUID | None) -> Any:
    """Return a UUID as the database driver wants it."""
    if value is None or connection.features.has_native_uuid_field:
        return value
    return value.hex
