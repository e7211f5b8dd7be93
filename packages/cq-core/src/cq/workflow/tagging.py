"""The rows of tags, which say which tasks have one; what is adopted takes its parent's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cq.db.statements import BATCH, by_primary_key
from cq.definitions.tags import tags_of, with_tags
from cq.tables.queries import tags, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from cq.tables.rows import TaskRow


def write(using: str, made: Iterable[tuple[UUID, Any]]) -> None:
    """Write the tags of tasks, by what their rows keep, in the transaction of these.

    What is there already stays.
    """
    model = tags(using).model
    rows = [model(tag=tag, task_id=pk) for pk, kept in made for tag in tags_of(kept)]
    tags(using).bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


def adopt(using: str, parent: TaskRow, ids: list[UUID]) -> None:
    """Give tasks that are put under another its tags, and to all that is below them.

    ids: of what is at the top until now. To be called in the transaction that does it.
    Raises ValueError where one would have too many.
    """
    if not (above := tags_of(parent.options)):
        return
    changed: dict[str, tuple[Any, list[UUID]]] = {}
    for pk, name, kept in _locked(using, ids):
        options = with_tags(name, kept, above)
        # Most of a group keep the same.
        text = json.dumps(options, sort_keys=True)
        changed.setdefault(text, (options, []))[1].append(pk)
    for options, same in changed.values():
        for start in range(0, len(same), BATCH):
            some = tasks(using).filter(pk__in=same[start : start + BATCH])
            some.update(options=options)
    write(using, ((pk, o) for o, same in changed.values() for pk in same))


def _locked(using: str, ids: list[UUID]) -> Iterator[tuple[UUID, str, Any]]:
    """Yield the id, the name and the options of these and of all below them, locked."""
    # Read first, and locked by nothing but their ids: see `by_primary_key`.
    below = tasks(using).filter(root__in=ids, parent__isnull=False)
    found = sorted({*ids, *below.values_list("pk", flat=True)})
    for start in range(0, len(found), BATCH):
        rows = tasks(using).filter(pk__in=found[start : start + BATCH]).order_by("pk")
        with by_primary_key(using):
            some = list(rows.select_for_update().values_list("pk", "name", "options"))
        yield from some
