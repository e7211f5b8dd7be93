"""Operations as tests record and run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import driving

from cq.operations.filter import TaskFilter
from cq.operations.operation import Operation
from cq.operations.recording import newest_id, record
from cq.operations.verbs import VERBS

if TYPE_CHECKING:
    from cq.models import Task
    from cq.tables.rows import TaskRow


def operation(verb: str, /, chosen: dict[str, Any] | None = None, **more: Any) -> Any:
    """An operation over what there is now."""
    more = {"newest": newest_id("default")} | more
    return Operation(verb=VERBS[verb], filter=TaskFilter.of(chosen or {}), **more)


def recorded(
    verb: str, /, chosen: dict[str, Any] | None = None, **more: Any
) -> TaskRow:
    return record("default", operation(verb, chosen, **more))


def done(verb: str, /, chosen: dict[str, Any] | None = None, **more: Any) -> Task:
    """An operation that has run, as its row is then."""
    return driving.run(recorded(verb, chosen, **more))  # type: ignore[arg-type]


def lines(task: Any) -> list[str]:
    return list(task.logs.values_list("message", flat=True))
