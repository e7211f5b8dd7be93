"""The handles that drafts become once they are written."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from . import codec, loading
from .drafts import Draft
from .rows import task_model

if TYPE_CHECKING:
    from .models import Task


def handle(using: str, draft: Draft) -> Task:
    """Return the task of a draft without reading it back.

    What the database's clock decided is left out, and read when first looked at.
    """
    fixed, drafted = _attributes()
    values = fixed.copy()
    values.update(zip(drafted, attrgetter(*drafted)(draft), strict=True))
    values["args"] = codec.Encoded(draft.args)
    values["kwargs"] = codec.Encoded(draft.kwargs)
    if draft.result is not None:
        values["result"] = codec.Encoded(draft.result)
    for name in ("run_after", "expires"):
        if isinstance(values[name], timedelta):
            del values[name]
    return loading.task_of(using, values)


@cache
def _attributes() -> tuple[dict[str, Any], list[str]]:
    """Return what every new task has, and the names of what its draft has."""
    fixed: dict[str, Any] = {}
    drafted: list[str] = []
    known = {field.name for field in fields(Draft)}
    for column in task_model()._meta.concrete_fields:
        if column.attname in known:
            drafted.append(column.attname)
        elif column.attname != "submitted":
            has_default = column.has_default()
            fixed[column.attname] = column.get_default() if has_default else None
    return fixed, drafted
