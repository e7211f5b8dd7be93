"""The validation of a schedule: what could not run at its time is refused before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from cq.definitions import registry
from cq.definitions.options import LONGEST_SPAN, Options, check_queue
from cq.errors import CodecError
from cq.text import storable
from cq_scheduler import cron
from cq_scheduler.cron import UnknownZone
from cq_scheduler.timing.when import Every, check_year

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def errors_by_field(
    row: Any, exclude: Collection[str]
) -> dict[str, list[ValidationError]]:
    """Return what is wrong, but for the fields that are not asked for."""
    found: dict[str, list[ValidationError]] = {}
    for name, check in _CHECKS.items():
        if name not in exclude:
            try:
                check(row)
            except (ValueError, LookupError) as error:
                # With the code "invalid" a form would show its field's own message.
                found[name] = [ValidationError(str(error), code="refused")]
    return found


def check_call(row: Any) -> None:
    """Raise ValidationError when the arguments don't fit the task."""
    try:
        registry.get(row.name).check_arguments(*row.arguments())
    except (LookupError, CodecError):
        return  # errors_by_field says so
    except TypeError as error:
        raise ValidationError(str(error), code="arguments") from error


def _check_name(row: Any) -> None:
    if row.name not in registry.names():
        registry.get(row.name)
        raise ValueError(f"{row.name!r} is a part of cq, which nobody schedules")


def _check_crontab(row: Any) -> None:
    if row.crontab:
        cron.check(row.crontab)
        with suppress(UnknownZone):  # the other field says so
            cron.next_run(row.crontab, timezone.now(), row.timezone)
    elif row.interval is None and row.at is None:
        raise ValueError(_("One is required: a cron line, an interval or a moment."))


def _check_interval(row: Any) -> None:
    if row.interval is None:
        return
    Every(row.interval)
    if row.interval > LONGEST_SPAN:
        raise ValueError(
            f"{row.interval} is too long; use {LONGEST_SPAN.days} days at most"
        )
    if row.crontab:
        raise ValueError(_("There is a cron line already; leave one of them empty."))


def _check_moment(name: str) -> Callable[[Any], None]:
    def check(row: Any) -> None:
        moment = getattr(row, name)
        if moment is not None:
            check_year(moment)

    return check


def _check_at(row: Any) -> None:
    if row.at is None:
        return
    _check_moment("at")(row)
    if row.crontab or row.interval is not None:
        raise ValueError(
            _("There is a cron line or an interval already; leave one of them empty.")
        )


def _check_zone(row: Any) -> None:
    name: str = row.timezone
    cron.zone(name)


def _check_end(row: Any) -> None:
    _check_moment("end_after")(row)
    start, end = row.start_after, row.end_after
    if start is not None and end is not None and end < start:
        raise ValueError(_("This is before the start."))


def _check_text(name: str) -> Callable[[Any], None]:
    def check(row: Any) -> None:
        text = getattr(row, name)
        if isinstance(text, str) and storable(text, len(text)) != text:
            raise ValueError(
                f"{text!r:.80} has a NUL, or half a character, which no database stores"
            )

    return check


def _check_result_ttl(row: Any) -> None:
    if row.result_ttl is not None:
        Options(result_ttl=row.result_ttl)


def _check_queue(row: Any) -> None:
    _check_text("queue")(row)
    if row.queue:
        check_queue(row.queue)


def _encoded(name: str) -> Callable[[Any], object]:
    def check(row: Any) -> object:
        field: Any = row._meta.get_field(name)
        return field.encoded(getattr(row, name))

    return check


#: By column, what raises ValueError or LookupError for a value that can't run.
_CHECKS: dict[str, Callable[[Any], object]] = {
    "name": _check_name,
    "args": _encoded("args"),
    "kwargs": _encoded("kwargs"),
    "crontab": _check_crontab,
    "interval": _check_interval,
    "at": _check_at,
    "timezone": _check_zone,
    "start_after": _check_moment("start_after"),
    "end_after": _check_end,
    "paused_at": _check_moment("paused_at"),
    "paused_until": _check_moment("paused_until"),
    "paused_by": _check_text("paused_by"),
    "pause_reason": _check_text("pause_reason"),
    "queue": _check_queue,
    "result_ttl": _check_result_ttl,
}
