"""Export and import of schedules: out as JSON; in from JSON, or as rows to be."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from cq.codec.references import models_in
from cq.definitions.options import LONGEST_SPAN
from cq.definitions.schedulable import is_schedulable
from cq_scheduler.models import RepeatingTask, schedules

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The version of the form that the exported JSON has.
FORMAT_VERSION = 1
#: Schedules that differ in one of these are two; in the others, one was changed.
_IDENTITY_COLUMNS = ("name", "args", "kwargs", "crontab", "interval", "at", "timezone")
_SETTING_COLUMNS = (
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
#: Seconds, as `.using()` takes them.
_LONGEST_TTL = LONGEST_SPAN.total_seconds()
EXPORTED_COLUMNS: tuple[str, ...] = (*_IDENTITY_COLUMNS, "anchor", *_SETTING_COLUMNS)

MADE, CHANGED, UNCHANGED, REFUSED = "made", "changed", "unchanged", "refused"


@dataclass
class Imported:
    """The outcome of one schedule's import. Its fields stay from release to release."""

    #: Its name where it comes from.
    name: str
    outcome: str
    #: The id of the schedule here; None where there is none.
    id: int | None = None
    #: Why there is none, or what it doesn't have.
    remarks: list[str] = field(default_factory=list)


def export_schedules(using: str) -> dict[str, Any]:
    """Return all schedules but those of ``@repeat``, which are in the code."""
    rows = schedules(using).filter(key=None).order_by("name", "pk")
    return {
        "version": FORMAT_VERSION,
        "schedules": [
            {name: json_value(row, name) for name in EXPORTED_COLUMNS}
            for row in rows.iterator()
        ],
    }


def json_value(row: RepeatingTask, name: str) -> Any:
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


def parse_schedules(text: str) -> list[Any]:
    """Return the schedules in an export's text; raises ValueError for another text."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get("schedules"), list):
        raise ValueError("this is not what `cqscheduler export` writes")
    if given.get("version") != FORMAT_VERSION:
        raise ValueError(
            f"version {given.get('version')!r} is not {FORMAT_VERSION}, which this release knows"
        )
    return list(given["schedules"])


def build_row(values: Any, *, allow_objects: bool = False) -> RepeatingTask:
    """Return the row to be; raises ValidationError for what no schedule has.

    allow_objects: whether the arguments may name rows of the database.
    """
    if not isinstance(values, dict):
        raise ValidationError(f"{values!r:.80} is no object")
    row = RepeatingTask()
    for name, value in values.items():
        if name not in EXPORTED_COLUMNS:
            raise ValidationError(f"a schedule has no field {name!r}")
        if name in ("args", "kwargs"):
            if not allow_objects:
                _check_references(name, value)
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
        if name == "result_ttl" and value is not None and not value <= _LONGEST_TTL:
            raise ValidationError({name: f"{value} is too much, or no number"})
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise ValidationError({name: f"{value} has no UTC offset"})
        setattr(row, name, value)
    return row


def _check_references(name: str, value: Any) -> None:
    # The task is given them, whoever has written the file.
    for label in sorted(models_in(value)):
        raise ValidationError(
            {name: f"it names rows of {label}; with --allow-objects it may"}
        )


@dataclass
class Importer:
    """The storing of rows to be, each of which becomes a schedule of its own.

    update: bring the one that is there already up to date. Two rows for the same call at
    the same times are two schedules, here and wherever they come from.
    """

    using: str
    update: bool
    #: The schedules that rows of this import have become, or were already.
    taken: set[int] = field(default_factory=set)

    def store(self, name: str, row: RepeatingTask) -> Imported:
        """Write a row to be, unless it is there. Anything that could not run is refused."""
        try:
            # This turns arguments into their texts, by which the row is found below.
            row.full_clean(validate_unique=False)
            if not is_schedulable(row.name):
                raise ValidationError(f"{row.name!r} is scheduled by code only")
            found = self._find(row)
            if found is None:
                with transaction.atomic(using=self.using):
                    row.save(using=self.using)
                self.taken.add(row.pk)
                return Imported(name, MADE, row.pk)
        except ValidationError as error:
            return Imported(name, REFUSED, remarks=messages(error))
        except (ValueError, TypeError, OverflowError) as error:
            return Imported(name, REFUSED, remarks=[str(error)])
        self.taken.add(found.pk)
        changed = _differences(found, row)
        if not changed:
            return Imported(name, UNCHANGED, found.pk)
        if not self.update:
            return Imported(
                name,
                UNCHANGED,
                found.pk,
                [
                    f"{column} is another here, and is left as it is"
                    for column in changed
                ],
            )
        for column in changed:
            setattr(found, column, getattr(row, column))
        found.save(using=self.using, update_fields=changed)
        return Imported(name, CHANGED, found.pk)

    def _find(self, row: RepeatingTask) -> RepeatingTask | None:
        """Return the schedule that a row is already: the one most like it, then the first."""
        same = {column: getattr(row, column) for column in _IDENTITY_COLUMNS}
        found = (
            schedules(self.using).filter(**same, key=None).exclude(pk__in=self.taken)
        )
        return min(
            found.order_by("pk"),
            key=lambda other: len(_differences(other, row)),
            default=None,
        )


def _differences(one: RepeatingTask, other: RepeatingTask) -> list[str]:
    return [c for c in _SETTING_COLUMNS if getattr(one, c) != getattr(other, c)]


def messages(error: ValidationError) -> list[str]:
    """Return what is wrong, with the field that each message does not name itself."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    return [
        text if name == "__all__" or text.startswith(f"{name}:") else f"{name}: {text}"
        for name, texts in error.message_dict.items()
        for text in texts
    ]


def count_refused(results: Iterable[Imported]) -> int:
    """Return how many could not be stored."""
    return sum(result.outcome == REFUSED for result in results)
