"""The circles that a serial run would never get out of, and what is adopted beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.errors import CycleError
from cq.status import FINAL

from .handle import SerialHandle

if TYPE_CHECKING:
    from collections.abc import Iterable


def check(what: SerialHandle, below: SerialHandle, upstream: Iterable[object]) -> None:
    """Raise CycleError if, by `upstream`, anything under `below` waits for that itself."""
    above: list[SerialHandle] = [below]
    while above[-1].parent is not None:
        above.append(above[-1].parent)
    open_ = [u for u in upstream if isinstance(u, SerialHandle)]
    seen: set[object] = set()
    while open_:
        task = open_.pop()
        if task.status in FINAL or task.id in seen:
            continue
        seen.add(task.id)
        if any(task.id == one.id for one in above):
            raise CycleError(f"{what.name} would wait for {task!r}, which waits for it")
        open_ += [u for u, _ in task.depends_on if isinstance(u, SerialHandle)]
        open_ += task.children


def adopt(task: SerialHandle, handle: SerialHandle) -> None:
    """Put a returned handle, and the parentless tasks before it, under `task`.

    Raises TypeError when it belongs to another parent, CycleError when it waits for
    `task`.
    """
    if handle.parent is not None and handle.parent.id == task.id:
        return
    check(task, task, [handle])
    if handle.parent is not None:
        raise TypeError(
            f"{task.name} returned {handle.name} {handle.pk}, which is a subtask of "
            f"{handle.parent.pk}; a task has one parent. Return .result instead, or "
            "make it here"
        )
    found, wave = [handle], [handle]
    while wave:
        before = [
            upstream
            for one in wave
            for upstream, _ in one.depends_on
            if isinstance(upstream, SerialHandle) and upstream.parent is None
        ]
        wave = [one for one in before if one not in found]
        found += wave
    for one in sorted(found, key=lambda t: t.id.int):
        task.root.kept_log.take(one.kept_log)
        one.put_under(task)
