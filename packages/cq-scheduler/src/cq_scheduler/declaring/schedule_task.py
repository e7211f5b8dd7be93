"""Schedules made by programs, above all by data migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions import registry
from cq.definitions.registry import Definition
from cq.hooks.context import captured, overridden
from cq_scheduler import cron
from cq_scheduler.fields import site_timezone
from cq_scheduler.timing import when as timing
from cq_scheduler.timing.columns import UNPAUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cq_scheduler.timing.when import When

#: The fields that may be given beside the line and the call, with their defaults.
DEFAULTS: dict[str, Any] = {
    "enabled": True,
    "coalesce": True,
    "misfire": "latest",
    "jitter": 0,
    "start_after": None,
    "end_after": None,
    "queue": "",
    "priority": None,
    "result_ttl": None,
    "context": None,
}


def schedule_task(
    model: Any,
    crontab: When,
    func: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """Make a schedule, or bring the one that is there up to date; return its row.

    model: RepeatingTask, also a historical one (``apps.get_model`` in a migration),
    which then gets the fields that it has. crontab: a cron line, or ``every(...)``, or
    ``at(...)``. func: a task, or its registered name. fields: timezone, enabled,
    coalesce, misfire, jitter (seconds), start_after and end_after (aware datetimes),
    queue, priority, result_ttl (seconds), context (values by the names of carriers, in
    place of those that are captured here).

    Called again for the same task, line, arguments, zone and given context it makes no
    second row, and sets the fields it is given. Raises CronError for a line that doesn't fire or a zone
    that isn't known, UnknownTask, TypeError for arguments that don't fit or a field
    that doesn't exist, CodecError for arguments that cannot be stored.
    """
    definition = definition_of(func)
    using = conf.DATABASE
    row = new_row(model, definition, crontab, args, kwargs or {}, fields)
    same = _same(model, using, row, crontab).order_by("pk")
    found = next((one for one in same if _has_context(one, fields)), None)
    if found is None:
        return _made(model, using, row)
    changed = {
        name
        for name in fields
        if name != "context"
        and _has(model, name)
        and getattr(found, name) != getattr(row, name)
    }
    for name in changed:
        setattr(found, name, getattr(row, name))
    if changed & {*timing.COLUMNS, "enabled"}:
        changed |= _time_anew(found, database_now(using))
    if changed:
        found.save(using=using, update_fields=changed)
    return found


def unschedule_task(
    model: Any,
    crontab: When,
    func: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> int:
    """Delete what `schedule_task` made when given the same; return how many rows.

    func: a task, or a name, which need not be registered any more. Of the fields only
    the timezone matters. Tasks that have been made stay. Raises CronError for a line
    that doesn't fire, TypeError for a field that doesn't exist, CodecError for
    arguments that cannot be stored.
    """
    check_fields(fields)
    name = func if isinstance(func, str) else definition_of(func).name
    row = _row(model, name, crontab, args, kwargs or {}, fields)
    same = _same(model, conf.DATABASE, row, crontab)
    if fields.get("context"):
        same = same.filter(pk__in=[one.pk for one in same if _has_context(one, fields)])
    _, deleted = same.delete()
    return int(deleted.get(model._meta.label, 0))  # slots go as well


def new_row(
    model: Any,
    definition: Definition,
    crontab: When,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> Any:
    """Return a row to be, of what the model has columns for; raises as its callers."""
    check_fields(fields)
    definition.check_arguments(tuple(args), dict(kwargs))
    row = _row(model, definition.name, crontab, args, kwargs, fields)
    cron.zone(fields.get("timezone") or site_timezone())
    return row


def definition_of(func: Any) -> Definition:
    """Return what is registered for a task, or under a name.

    Raises UnknownTask, and TypeError for what is no task, or has options.
    """
    if isinstance(func, str):
        return registry.get(func)
    definition = getattr(func, "definition", None)
    if not isinstance(definition, Definition) or getattr(func, "changes", None):
        raise TypeError(
            f"{func!r} cannot be scheduled; give a function decorated with @task, or "
            "its registered name, and options such as queue= beside it"
        )
    return definition


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise TypeError for a field that a schedule doesn't have."""
    known = {*DEFAULTS, "timezone"}
    for name in fields:
        if name not in known:
            raise TypeError(
                f"a schedule has no field {name!r}; there are {', '.join(sorted(known))}"
            )


def _row(
    model: Any,
    name: str,
    crontab: When,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> Any:
    when = timing.columns_of(crontab)
    for column in when:
        if column != "crontab" and when[column] is not None and not _has(model, column):
            raise TypeError(
                f"this model has no column {column!r} yet; let the migration depend on "
                "a later one of cq_scheduler"
            )
    values = {
        "name": name,
        "args": model._meta.get_field("args").encoded(tuple(args)),
        "kwargs": model._meta.get_field("kwargs").encoded(dict(kwargs)),
        **when,
        **DEFAULTS,
        **fields,
        "timezone": fields.get("timezone") or site_timezone(),
    }
    return model(**{name: value for name, value in values.items() if _has(model, name)})


def _same(model: Any, using: str, row: Any, crontab: When) -> models.QuerySet[Any]:
    """Return rows that somebody made for the same: an anchor counts where one is given."""
    same = {"name": row.name, "args": row.args, "kwargs": row.kwargs}
    for name in timing.columns_of(crontab):
        value = getattr(row, name, None)
        if _has(model, name) and (name != "anchor" or value is not None):
            same[name] = value
    if _has(model, "timezone"):
        same["timezone"] = row.timezone
    rows: models.QuerySet[Any] = model._default_manager.using(using)
    return rows.filter(**same, key=None)


def _has_context(row: Any, fields: Mapping[str, Any]) -> bool:
    """Tell whether a row takes along what was given: of two tenants each has its own."""
    stored = getattr(row, "context", None) or {}
    given = fields.get("context") or {}
    return isinstance(stored, dict) and given.items() <= stored.items()


def _made(model: Any, using: str, row: Any) -> Any:
    """Write a new row, with the moment at which it comes first."""
    now = database_now(using)
    if getattr(row, "interval", None) is not None and row.anchor is None:
        row.anchor = getattr(row, "start_after", None) or now
    if not _has(model, "timezone"):
        row.timezone = site_timezone()
    if _has(model, "context"):
        row.context = overridden(captured(), row.context or {})
    with transaction.atomic(using=using):
        row.save(using=using)
        # The jitter goes by the id, which the row has only now.
        row.save(using=using, update_fields=_time_anew(row, now))
    return row


def _time_anew(row: Any, now: datetime) -> set[str]:
    """Let a row wait for its next slot, as the model does; return the columns of that.

    A historical model has no `save` of ours, which leaves a given `next_run` alone.
    """
    slot = timing.first_slot(row, now) if row.enabled else None
    values: dict[str, Any] = {
        "enabled": slot is not None,
        "next_run": None if slot is None else slot + timing.delay(row),
    }
    if slot is not None:
        values |= UNPAUSED
    names = {name for name in values if _has(type(row), name)}
    for name in names:
        setattr(row, name, values[name])
    return names


def _has(model: type[models.Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())
