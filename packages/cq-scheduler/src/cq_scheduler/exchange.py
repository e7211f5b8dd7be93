"""Schedules that come from elsewhere, or go there: as JSON, or as rows to be."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from .models import RepeatingTask, schedules

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Of the form of what is exported.
VERSION = 1
#: What makes a schedule another one.
_IDENTITY = ("name", "args", "kwargs", "crontab", "interval", "at", "timezone")
_SETTINGS = (
    "start_after",
    "end_after",
    "jitter",
    "enabled",
    "paused_at",
    "paused_by",
    "pause_reason",
    "paused_until",
    "coalesce",
    "misfire",
    "queue",
    "priority",
    "result_ttl",
)
EXPORTED: tuple[str, ...] = (*_IDENTITY, "anchor", *_SETTINGS)

MADE, CHANGED, UNCHANGED, REFUSED = "made", "changed", "unchanged", "refused"


@dataclass
class Imported:
    """What became of one schedule. Its fields are kept from release to release."""

    #: What it is called where it comes from.
    name: str
    outcome: str
    #: Of the schedule here; None where there is none.
    id: int | None = None
    #: Why there is none, or what it doesn't have.
    remarks: list[str] = field(default_factory=list)


def exported(using: str) -> dict[str, Any]:
    """Return all schedules but those of ``@repeat``, which are in the code."""
    rows = schedules(using).filter(key=None).order_by("name", "pk")
    return {
        "version": VERSION,
        "schedules": [
            {name: plain(row, name) for name in EXPORTED} for row in rows.iterator()
        ],
    }


def plain(row: RepeatingTask, name: str) -> Any:
    """Return a column as JSON has it; the codec's tags stay as they are."""
    if name in ("args", "kwargs"):
        return _json_or_text(row.__dict__[name])
    column: Any = row._meta.get_field(name)
    value = column.value_from_object(row)
    if name == "interval" and value is not None:
        return value.total_seconds()
    return value


def _json_or_text(text: Any) -> Any:
    try:
        return json.loads(str(text))
    except ValueError:
        return str(text)  # not of our writing; show it all the more


def parsed(text: str) -> list[Any]:
    """Return the schedules of what `exported` made; raises ValueError for another."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get("schedules"), list):
        raise ValueError("this is not what `cqscheduler export` writes")
    if given.get("version") != VERSION:
        raise ValueError(
            f"version {given.get('version')!r} is not {VERSION}, which this release knows"
        )
    return list(given["schedules"])


def row_of(values: Any) -> RepeatingTask:
    """Return the row to be; raises ValidationError for what no schedule has."""
    if not isinstance(values, dict):
        raise ValidationError(f"{values!r:.80} is no object")
    row = RepeatingTask()
    for name, value in values.items():
        if name not in EXPORTED:
            raise ValidationError(f"a schedule has no field {name!r}")
        if name in ("args", "kwargs"):
            value = json.dumps(value)
        elif name == "interval" and isinstance(value, int | float):
            value = str(value)
        column: Any = row._meta.get_field(name)
        try:
            value = column.to_python(value)
        except ValidationError as error:
            raise ValidationError({name: error.messages}) from error
        except OverflowError as error:
            raise ValidationError({name: f"{value} is too much"}) from error
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise ValidationError({name: f"{value} has no UTC offset"})
        setattr(row, name, value)
    return row


def store(using: str, name: str, row: RepeatingTask, *, update: bool) -> Imported:
    """Write a row to be, unless there is one for the same call at the same times.

    update: bring that one up to date. Anything that could not run is refused.
    """
    try:
        # Arguments become their texts here, by which they are found.
        row.full_clean(validate_unique=False)
        same = {column: getattr(row, column) for column in _IDENTITY}
        found = schedules(using).filter(**same, key=None).order_by("pk").first()
        if found is None:
            with transaction.atomic(using=using):
                row.save(using=using)
            return Imported(name, MADE, row.pk)
    except ValidationError as error:
        return Imported(name, REFUSED, remarks=messages(error))
    except (ValueError, TypeError, OverflowError) as error:
        return Imported(name, REFUSED, remarks=[str(error)])
    changed = [c for c in _SETTINGS if getattr(found, c) != getattr(row, c)]
    if not update or not changed:
        return Imported(name, UNCHANGED, found.pk)
    for column in changed:
        setattr(found, column, getattr(row, column))
    found.save(using=using, update_fields=changed)
    return Imported(name, CHANGED, found.pk)


def messages(error: ValidationError) -> list[str]:
    """Return what is wrong, with the field that each message does not name itself."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    return [
        text if name == "__all__" or text.startswith(f"{name}:") else f"{name}: {text}"
        for name, texts in error.message_dict.items()
        for text in texts
    ]


def refused(results: Iterable[Imported]) -> int:
    return sum(result.outcome == REFUSED for result in results)
