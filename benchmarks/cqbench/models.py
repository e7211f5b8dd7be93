"""What the tasks write, and a row like a task's for the bare ORM to write."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import connection, models

from cq.models import Task


class Written(models.Model):
    """One run of ``tasks.write``."""

    number = models.IntegerField()

    # For a type checker, which knows the settings of the tests only.
    objects: ClassVar[models.Manager[Written]] = models.Manager()


def _columns() -> dict[str, Any]:
    """The columns of a task as plain fields, whatever is added to it one day."""
    columns: dict[str, Any] = {}
    for field in Task._meta.concrete_fields:
        if isinstance(field, models.ForeignKey):
            # It is none in the database either.
            plain = type(field.target_field)(null=field.null, db_column=field.column)
        else:
            plain = field.clone()
        columns[field.attname] = plain
    return columns


class _Meta:
    managed = False
    db_table = "cqbench_row"


#: A model with a task's columns and nothing of its behaviour.
Row: Any = type(
    "Row",
    (models.Model,),
    {"__module__": __name__, "Meta": _Meta, **_columns()},
)


def make_row_table() -> None:
    """Make the table of `Row`: the columns, constraints and indexes of a task's."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS cqbench_row")
        cursor.execute(
            f"CREATE TABLE cqbench_row (LIKE {Task._meta.db_table} INCLUDING ALL)"
        )
