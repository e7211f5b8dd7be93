"""Many rows like one, for tables with a past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from django.db.models import Model


def copy(model: type[Model], pk: Any, rows: int, **values: str) -> None:
    """Copy a row, and let the planner know of it.

    Each copy has a key of its own, which is new.id in SQL where keys are UUIDs. values:
    by column, what SQL they have that do not have what the row has.
    """
    meta = model._meta
    key = str(meta.pk.column)
    columns = [str(field.column) for field in meta.concrete_fields]
    copied = {column: f"one.{column}" for column in columns if column != key} | values
    if meta.pk.get_internal_type() == "UUIDField":
        copied[key] = "new.id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {meta.db_table} ({', '.join(copied)}) "
            f"SELECT {', '.join(copied.values())} "
            f"FROM (SELECT * FROM {meta.db_table} WHERE {key} = %s) one, "
            "(SELECT gen_random_uuid() AS id FROM generate_series(1, %s)) new",
            [pk, rows],
        )
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
