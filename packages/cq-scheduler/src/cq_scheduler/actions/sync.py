"""The sync of declared schedules: rows brought up to date with the code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from django.db import IntegrityError, transaction

from cq_scheduler.declaring.repeat import Declaration, declarations
from cq_scheduler.declaring.schedule_task import DEFAULTS
from cq_scheduler.models import schedules
from cq_scheduler.timing import when

from .pause import PAUSED_BY_SYNC, pause

if TYPE_CHECKING:
    from cq_scheduler.models import RepeatingTask


logger = logging.getLogger("cq.scheduler")


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
    synced = Synced([], [], [], [])
    _write(using, synced)
    owned = schedules(using).filter(key__isnull=False, enabled=True)
    for row in owned.exclude(key__in=[d.key for d in declarations()]).order_by("key"):
        pause(row, "no @repeat in the code declares it any more", PAUSED_BY_SYNC)
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
    found = schedules(using).filter(key__in=[d.key for d in declarations()])
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
    wanted = declaration.row()
    names = {"name", "args", "kwargs", "timezone", *DEFAULTS}
    names |= set(when.columns_of(declaration.crontab))
    names.remove("enabled")  # paused by a person, it stays so
    if wanted.interval is not None and wanted.anchor is None and row.anchor:
        names.remove("anchor")  # it goes on counting from where it began
    changed = [name for name in names if getattr(row, name) != getattr(wanted, name)]
    for name in changed:
        setattr(row, name, getattr(wanted, name))
    if row.paused_by == PAUSED_BY_SYNC:
        row.enabled = True
        changed.append("enabled")
    if changed:
        row.save(using=using, update_fields=changed)
    return bool(changed)
