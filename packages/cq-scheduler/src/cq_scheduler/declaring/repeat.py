"""The registry of ``@repeat``: schedules declared beside the task in code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps

from cq_scheduler.timing import when

from .schedule_task import check_fields, definition_of, new_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cq.definitions.registry import Definition
    from cq_scheduler.timing.when import When


F = TypeVar("F")


@dataclass(frozen=True)
class Declaration:
    """The content of one ``@repeat``."""

    key: str
    definition: Definition
    crontab: When
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    fields: dict[str, Any]

    def row(self) -> Any:
        """Return the row to be; raises CronError for an unknown zone, CodecError."""
        return new_row(
            apps.get_model("cq_scheduler", "RepeatingTask"),
            self.definition,
            self.crontab,
            self.args,
            self.kwargs,
            self.fields,
        )


_declared: dict[str, Declaration] = {}


def repeat(
    crontab: When,
    *,
    key: str = "",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Callable[[F], F]:
    """Schedule a task where it is defined, above its ``@task``.

    crontab: a cron line, or ``every(...)``, or ``at(...)``. key: tells several of one
    task apart; the row is found by it when the rest changes. fields: as
    `schedule_task`; ``enabled`` is only how the row begins.

    Raises CronError for a line that doesn't fire, TypeError for what is no task,
    arguments that don't fit or a field that doesn't exist, ValueError for a key that
    the task has already, or that is too long.
    """
    when.columns_of(crontab)
    check_fields(fields)
    if len(key) >= 100:
        raise ValueError(f"the key has {len(key)} characters, but may have 99")

    def declare(task: F) -> F:
        definition = definition_of(task)
        definition.check_arguments(tuple(args), dict(kwargs or {}))
        full_key = f"{definition.name}:{key}"
        known = _declared.get(full_key)
        if known is not None and known.definition is definition:
            raise ValueError(
                f"{definition.name} repeats twice under the key {key!r}; give the "
                "second @repeat another key="
            )
        _declared[full_key] = Declaration(
            full_key, definition, crontab, tuple(args), dict(kwargs or {}), fields
        )
        return task

    return declare


def declarations() -> list[Declaration]:
    """Return what is declared in the code that has been loaded."""
    return list(_declared.values())


def is_declared(key: str) -> bool:
    """Tell whether the code that has been loaded declares this key."""
    return key in _declared
