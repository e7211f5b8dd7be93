"""Arguments and results of rows as Python values, with other tasks' in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import codec
from .errors import CodecError
from .rows import edges, tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


def decode_result(using: str, text: str | None) -> Any:
    """Decode a result; a group's is assembled from its members here.

    Raises CodecError for text that is no encoded value.
    """
    if text is None:
        return None
    group = codec.group_of(text)
    if group is None:
        return codec.decode(text)
    members = (
        tasks(using)
        .filter(parent=group, counted=True)
        .order_by("pk")
        .values_list("result", flat=True)
    )
    return [decode_result(using, member) for member in members]


def upstream_results(using: str, task_id: UUID) -> Callable[[int, int], list[Any]]:
    """Return what gives the results in the places of a task's handles, by number."""

    def results(start: int, count: int) -> list[Any]:
        found = list(
            edges(using)
            .filter(task=task_id, position__gte=start, position__lt=start + count)
            .order_by("position")
            .values_list("position", "depends_on__pk", "depends_on__result")
        )
        if len(found) != count or any(row[1] is None for row in found):
            raise CodecError(
                f"the results of {count} tasks were to be arguments, but "
                f"{sum(row[1] is not None for row in found)} are there; were rows "
                "deleted?"
            )
        return [decode_result(using, row[2]) for row in found]

    return results


def upstream_tasks(using: str, task_id: UUID) -> Callable[[int, int], list[Any]]:
    """Return what gives the tasks themselves, for people who look at the arguments."""

    def handles(start: int, count: int) -> list[Any]:
        ids = list(
            edges(using)
            .filter(task=task_id, position__gte=start, position__lt=start + count)
            .order_by("position")
            .values_list("depends_on_id", flat=True)
        )
        found = tasks(using).in_bulk(ids)
        return [found.get(i) for i in ids]

    return handles
