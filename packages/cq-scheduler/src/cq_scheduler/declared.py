"""Schedules that are declared beside the task in code, and the rows they become."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.apps import apps
from django.db import IntegrityError, transaction

from . import timing
from .schedules import DEFAULTS, check_fields, definition_of, new_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.db.models import QuerySet

    from cq.registry import Definition

    from .models import RepeatingTask
    from .timing import When

logger = logging.getLogger("cq.scheduler")

F = TypeVar("F")


@dataclass(frozen=True)
class Declaration:
    """What one ``@repeat`` says."""

    key: str
    definition: Definition
    crontab: When
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    fields: dict[str, Any]

    def row(self) -> RepeatingTask:
        """Return the row to be; raises CronError for an unknown zone, CodecError."""
        return new_row(  # type: ignore[no-any-return]
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
    timing.columns_of(crontab)
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
    return key in _declared


class Synced(NamedTuple):
    """The keys of what was made, changed, disabled, or could not be stored."""

    made: list[str]
    changed: list[str]
    gone: list[str]
    refused: list[str]

    def __bool__(self) -> bool:
        return any(self)


def sync(using: str) -> Synced:
    """Bring the rows of declared schedules up to date with the code that is loaded.

    What the code says is written over the row, but for `enabled`: one that a person has
    paused stays so. A row whose ``@repeat`` is gone is paused, with that reason, and
    resumed when it is back. One that cannot be stored is logged, the others go on.
    """
    from .pausing import SYNC, pause

    synced = Synced([], [], [], [])
    _write(using, synced)
    owned = _rows(using).filter(key__isnull=False, enabled=True)
    for row in owned.exclude(key__in=list(_declared)).order_by("key"):
        pause(row, "no @repeat in the code declares it any more", SYNC)
        synced.gone.append(str(row.key))
    return synced


def make_missing(using: str) -> Synced:
    """Write the rows of declared schedules that have none, and leave the others.

    For a process that starts: it may have older code than the one that was deployed.
    """
    synced = Synced([], [], [], [])
    _write(using, synced, only_missing=True)
    return synced


def _write(using: str, synced: Synced, only_missing: bool = False) -> None:
    found = _rows(using).filter(key__in=list(_declared))
    rows = {row.key: row for row in found}
    for declaration in declarations():
        row = rows.get(declaration.key)
        try:
            if row is None:
                if _make(using, declaration):
                    synced.made.append(declaration.key)
            elif not only_missing and _change(using, declaration, row):
                synced.changed.append(declaration.key)
        except (ValueError, TypeError) as error:
            logger.warning("@repeat of %s: %s", declaration.definition.name, error)
            synced.refused.append(declaration.key)


def _make(using: str, declaration: Declaration) -> bool:
    wanted = declaration.row()
    wanted.key = declaration.key
    try:
        with transaction.atomic(using=using):
            wanted.save(using=using)
    except IntegrityError:
        return False  # another process, at the same moment
    return True


def _change(using: str, declaration: Declaration, row: RepeatingTask) -> bool:
    from .pausing import SYNC

    wanted = declaration.row()
    names = {"name", "args", "kwargs", "timezone", *DEFAULTS}
    names |= set(timing.columns_of(declaration.crontab))
    names.remove("enabled")  # paused by a person, it stays so
    if wanted.interval is not None and wanted.anchor is None and row.anchor:
        names.remove("anchor")  # it goes on counting from where it began
    changed = [name for name in names if getattr(row, name) != getattr(wanted, name)]
    for name in changed:
        setattr(row, name, getattr(wanted, name))
    if row.paused_by == SYNC:
        row.enabled = True
        changed.append("enabled")
    if changed:
        row.save(using=using, update_fields=changed)
    return bool(changed)


def _rows(using: str) -> QuerySet[RepeatingTask]:
    model = apps.get_model("cq_scheduler", "RepeatingTask")
    return model._base_manager.using(using).order_by()
