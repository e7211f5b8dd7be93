"""Values of rows in Python: arguments and results, with other tasks' in their places.

And single facts that a row keeps among its options: its schedule, its release, its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq import codec
from cq.errors import CodecError, RowGone
from cq.ids import read_id

from .queries import edges, tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


def decode_result(using: str, text: str | None) -> Any:
    """Decode a result; a group's is assembled from its members here.

    Raises CodecError for text that is no encoded value.
    """
    return _decode_result(using, text, {})


def _decode_result(
    using: str, text: str | None, groups: dict[UUID, list[Any] | None]
) -> Any:
    """As `decode_result`; `groups` are those assembled before, None while they are."""
    if text is None:
        return None
    group = codec.group_of(text)
    if group is None:
        return codec.decode(text)
    if group not in groups:
        groups[group] = None
        members = (
            tasks(using)
            .filter(parent=group, counted=True)
            .order_by("pk")
            .values_list("result", flat=True)
        )
        groups[group] = [_decode_result(using, member, groups) for member in members]
    # Forged rows alone name a group twice, or one within itself.
    assembled = groups[group]
    if assembled is None:
        raise CodecError(f"the result of group {group} is to be part of itself")
    return assembled


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
            raise RowGone(
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


#: The key that a task of a schedule has among what its row keeps for the runner.
SCHEDULE = "schedule"


def schedule_of(options: Any) -> int | None:
    """Return the key of the schedule that has made a task at a slot, if one has."""
    found = options.get(SCHEDULE) if isinstance(options, dict) else None
    return found if type(found) is int and found > 0 else None


#: The key that a task has there which somebody has made again from another one.
AGAIN_OF = "again_of"


def again_of(options: Any) -> UUID | None:
    """Return the task that this one was made again from by hand, if it was."""
    return read_id(options.get(AGAIN_OF)) if isinstance(options, dict) else None


#: The key that a subtask has there which the function of a step has made, and that of a task
#: which has begun anew, without the steps that it had: the fence of the run that did.
MADE_IN, BEGUN_ANEW = "step", "begun_anew"


def made_in(options: Any, parent: Any) -> tuple[Any, ...] | None:
    """Return the step that has made a subtask: its name, its key, and its number.

    options: what its row keeps; parent: what that of its parent does. None also for what
    was made before that has begun anew.
    """
    found = options.get(MADE_IN) if isinstance(options, dict) else None
    begun = parent.get(BEGUN_ANEW, 0) if isinstance(parent, dict) else 0
    match found:
        case [str(name), str(key), int(number), int(fence)] if type(begun) is int:
            return (name, key, number) if fence > begun else None
    return None


#: The key that a task has there which takes back what a step of its parent did.
UNDOES = "undoes"


def undoes(options: Any) -> bool:
    """Tell whether a task takes back what a step did."""
    return isinstance(options, dict) and bool(options.get(UNDOES))


def release_of(options: Any) -> str | None:
    """Return the release of the process that recorded a task, by what its row keeps."""
    found = options.get("release") if isinstance(options, dict) else None
    return found if isinstance(found, str) and found else None


def unique_key_of(options: Any) -> str | None:
    """Return the key that a task is unique by, by what its row keeps."""
    found = options.get("unique") if isinstance(options, dict) else None
    return found if isinstance(found, str) and found else None
