"""The ``save()`` of a task that has a row: it writes nothing over what workers wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from cq.tables.rows import TaskRow

#: Columns that nobody writes after the call.
OF_THE_CALL = frozenset({"name", "args", "kwargs"})


def columns_to_save(
    task: TaskRow, using: str, update_fields: Collection[str] | None = None
) -> list[str] | None:
    """Return the columns that differ from the row of a task; None: it has no row.

    Raises RuntimeError where one of them is not of its call: what stands in the row may
    be newer.
    """
    row = type(task)._base_manager.using(using).filter(pk=task.pk).first()
    if row is None:
        return None
    left_out = task.get_deferred_fields()
    differing = [
        field.name
        for field in task._meta.concrete_fields
        if field.attname not in left_out
        and (update_fields is None or {field.name, field.attname} & {*update_fields})
        and _prepared(field, task) != _prepared(field, row)
    ]
    if taken := [name for name in differing if name not in OF_THE_CALL]:
        raise RuntimeError(
            f"task {task.pk} is not saved: its row has another {', '.join(taken)}, "
            "which may be what a worker has written meanwhile. Call revoke() or retry(), "
            "refresh_from_db() to have what it is now, or "
            "Task.objects.filter(pk=task.pk).update(...) to write single columns"
        )
    return differing


def _prepared(field: Any, task: TaskRow) -> Any:
    return field.get_prep_value(field.value_from_object(task))
