"""Schedules made by programs: in data migrations, and beside the task in code."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.db import IntegrityError, models, transaction

from cq import registry
from cq.clock import database_now
from cq.conf import conf
from cq.registry import Definition

from . import cron
from .fields import site_timezone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .models import RepeatingTask

logger = logging.getLogger("cq.scheduler")

F = TypeVar("F")

#: What may be given beside the line and the call, with what it is otherwise.
_DEFAULTS: dict[str, Any] = {
    "enabled": True,
    "coalesce": True,
    "misfire": "latest",
    "queue": "",
    "priority": None,
    "result_ttl": None,
}


# --- in data migrations ---------------------------------------------------------------


def schedule_task(
    model: Any,
    crontab: str,
    func: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """Make a schedule, or bring the one that is there up to date; return its row.

    model: RepeatingTask, also a historical one (``apps.get_model`` in a migration),
    which then gets the fields that it has. func: a task, or its registered name.
    fields: timezone, enabled, coalesce, misfire, queue, priority, result_ttl.

    Called again for the same task, line, arguments and zone it makes no second row, and
    sets the fields it is given. Raises CronError for a line that doesn't fire or a zone
    that isn't known, UnknownTask, TypeError for arguments that don't fit or a field
    that doesn't exist, CodecError for arguments that cannot be stored.
    """
    definition = _definition(func)
    using = conf.DATABASE
    row = _new_row(model, definition, crontab, args, kwargs or {}, fields)
    found = (
        model._default_manager.using(using)
        .filter(
            name=row.name,
            args=row.args,
            kwargs=row.kwargs,
            crontab=row.crontab,
            key=None,
            **({"timezone": row.timezone} if _has(model, "timezone") else {}),
        )
        .order_by("pk")
        .first()
    )
    if found is not None:
        changed = {name: getattr(row, name) for name in fields if _has(model, name)}
        for name, value in changed.items():
            setattr(found, name, value)
        if changed:
            found.save(using=using, update_fields=list(changed))
        return found
    if row.enabled:
        zone = getattr(row, "timezone", site_timezone())
        row.next_run = cron.next_run(crontab, database_now(using), zone)
    row.save(using=using)
    return row


def _new_row(
    model: Any,
    definition: Definition,
    crontab: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> Any:
    """Return a row to be, of what the model has columns for; raises as its callers."""
    _check_fields(fields)
    cron.check(crontab)
    zone = fields.get("timezone") or site_timezone()
    cron.zone(zone)
    definition.check_arguments(tuple(args), dict(kwargs))
    values = {
        "name": definition.name,
        "args": model._meta.get_field("args").encoded(tuple(args)),
        "kwargs": model._meta.get_field("kwargs").encoded(dict(kwargs)),
        "crontab": crontab,
        **_DEFAULTS,
        **fields,
        "timezone": zone,
    }
    return model(**{name: value for name, value in values.items() if _has(model, name)})


def _definition(func: Any) -> Definition:
    if isinstance(func, str):
        return registry.get(func)
    definition = getattr(func, "definition", None)
    if not isinstance(definition, Definition) or getattr(func, "changes", None):
        raise TypeError(
            f"{func!r} cannot be scheduled; give a function decorated with @task, or "
            "its registered name, and options such as queue= beside it"
        )
    return definition


def _check_fields(fields: Mapping[str, Any]) -> None:
    known = {*_DEFAULTS, "timezone"}
    for name in fields:
        if name not in known:
            raise TypeError(
                f"a schedule has no field {name!r}; there are {', '.join(sorted(known))}"
            )


def _has(model: type[models.Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())


# --- in code --------------------------------------------------------------------------


@dataclass(frozen=True)
class Declaration:
    """What one ``@repeat`` says."""

    key: str
    definition: Definition
    crontab: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    fields: dict[str, Any]

    def row(self) -> RepeatingTask:
        """Return the row to be; raises CronError for an unknown zone, CodecError."""
        return _new_row(  # type: ignore[no-any-return]
            apps.get_model("cq_scheduler", "RepeatingTask"),
            self.definition,
            self.crontab,
            self.args,
            self.kwargs,
            self.fields,
        )


_declared: dict[str, Declaration] = {}


def repeat(
    crontab: str,
    *,
    key: str = "",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Callable[[F], F]:
    """Schedule a task where it is defined, above its ``@task``.

    key: tells several of one task apart; the row is found by it when the rest changes.
    fields: as `schedule_task`; ``enabled`` is only how the row begins.

    Raises CronError for a line that doesn't fire, TypeError for what is no task,
    arguments that don't fit or a field that doesn't exist, ValueError for a key that
    the task has already, or that is too long.
    """
    cron.check(crontab)
    _check_fields(fields)
    if len(key) >= 100:
        raise ValueError(f"the key has {len(key)} characters, but may have 99")

    def declare(task: F) -> F:
        definition = _definition(task)
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


def sync(using: str) -> int:
    """Bring the rows of declared schedules up to date; how many were written.

    Whoever comes first inserts; one that cannot be stored is logged, the others go on.
    """
    written = 0
    for declaration in declarations():
        try:
            written += _sync(using, declaration)
        except (ValueError, TypeError) as error:
            logger.warning("@repeat of %s: %s", declaration.definition.name, error)
    return written


def _sync(using: str, declaration: Declaration) -> bool:
    wanted = declaration.row()
    manager = type(wanted)._base_manager.using(using)
    row = manager.filter(key=declaration.key).first()
    if row is None:
        wanted.key = declaration.key
        try:
            with transaction.atomic(using=using):
                wanted.save(using=using)
        except IntegrityError:
            return False  # another process, at the same moment
        return True
    names = [*_DEFAULTS, "name", "args", "kwargs", "crontab", "timezone"]
    names.remove("enabled")  # paused by a person, it stays so
    changed = [name for name in names if getattr(row, name) != getattr(wanted, name)]
    for name in changed:
        setattr(row, name, getattr(wanted, name))
    if changed:
        row.save(using=using, update_fields=changed)
    return bool(changed)
