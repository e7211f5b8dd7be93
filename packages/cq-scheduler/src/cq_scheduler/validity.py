"""What a schedule may hold: all that could not run at its time is refused before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from cq import registry
from cq.errors import CodecError
from cq.options import check_queue

from . import cron
from .cron import UnknownZone
from .timing import Every

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .models import RepeatingTask


def errors_by_field(
    row: RepeatingTask, exclude: Collection[str]
) -> dict[str, list[ValidationError]]:
    """Return what is wrong, but for the fields that are not asked for."""
    found: dict[str, list[ValidationError]] = {}
    for name, check in _CHECKS.items():
        if name not in exclude:
            try:
                check(row)
            except (ValueError, LookupError) as error:
                # Not "invalid": in its place a form says only what its field knows.
                found[name] = [ValidationError(str(error), code="refused")]
    return found


def check_call(row: RepeatingTask) -> None:
    """Raise ValidationError when the arguments don't fit the task."""
    try:
        registry.get(row.name).check_arguments(*row.arguments())
    except (LookupError, CodecError):
        return  # errors_by_field says so
    except TypeError as error:
        raise ValidationError(str(error), code="arguments") from error


def _check_name(row: RepeatingTask) -> None:
    if row.name not in registry.names():
        registry.get(row.name)
        raise ValueError(f"{row.name!r} is a part of cq, which nobody schedules")


def _check_crontab(row: RepeatingTask) -> None:
    if row.crontab:
        cron.check(row.crontab)
        with suppress(UnknownZone):  # the other field says so
            cron.next_run(row.crontab, timezone.now(), row.timezone)
    elif row.interval is None and row.at is None:
        raise ValueError(_("One is required: a cron line, an interval or a moment."))


def _check_interval(row: RepeatingTask) -> None:
    if row.interval is None:
        return
    Every(row.interval)
    if row.crontab:
        raise ValueError(_("There is a cron line already; leave one of them empty."))


def _check_at(row: RepeatingTask) -> None:
    if row.at is None:
        return
    if row.crontab or row.interval is not None:
        raise ValueError(
            _("There is a cron line or an interval already; leave one of them empty.")
        )


def _check_zone(row: RepeatingTask) -> None:
    name: str = row.timezone
    cron.zone(name)


def _check_end(row: RepeatingTask) -> None:
    start, end = row.start_after, row.end_after
    if start is not None and end is not None and end < start:
        raise ValueError(_("This is before the start."))


def _check_queue(row: RepeatingTask) -> None:
    if row.queue:
        check_queue(row.queue)


def _encoded(name: str) -> Callable[[RepeatingTask], object]:
    def check(row: RepeatingTask) -> object:
        field: Any = row._meta.get_field(name)
        return field.encoded(getattr(row, name))

    return check


#: By column, what raises ValueError or LookupError for a value that can't run.
_CHECKS: dict[str, Callable[[RepeatingTask], object]] = {
    "name": _check_name,
    "args": _encoded("args"),
    "kwargs": _encoded("kwargs"),
    "crontab": _check_crontab,
    "interval": _check_interval,
    "at": _check_at,
    "timezone": _check_zone,
    "end_after": _check_end,
    "queue": _check_queue,
}
