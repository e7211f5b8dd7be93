"""The handles that drafts become once they are written, and who is told of these."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any

from cq import codec, signals
from cq.hooks import announce
from cq.tables import hydration
from cq.tables.queries import task_model

from .drafts import Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cq.hooks.sending import Sendings
    from cq.tables.rows import TaskRow


def handle(using: str, draft: Draft) -> TaskRow:
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
    if draft.submitted is not None:
        values["submitted"] = draft.submitted
    for name in ("run_after", "expires"):
        if not isinstance(values[name], (datetime, NoneType)):
            del values[name]
    return hydration.task_of(using, values)


def tell_recorded(
    using: str, drafts: Sequence[Draft], sendings: Sendings | None = None
) -> None:
    """Tell of drafts that have been written and committed."""
    if sendings is not None:
        sendings.recorded(drafts)
    if signals.task_recorded.receivers:
        announce.recorded(handle(using, draft) for draft in drafts)


@cache
def _attributes() -> tuple[dict[str, Any], list[str]]:
    """Return what every new task has, and the names of what its draft has."""
    fixed: dict[str, Any] = {}
    drafted: list[str] = []
    known = {field.name for field in fields(Draft)} - {"submitted"}
    for column in task_model()._meta.concrete_fields:
        if column.attname in known:
            drafted.append(column.attname)
        elif column.attname != "submitted":
            has_default = column.has_default()
            fixed[column.attname] = column.get_default() if has_default else None
    return fixed, drafted
