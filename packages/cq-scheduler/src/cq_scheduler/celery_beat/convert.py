"""The conversion of django-celery-beat's rows, with remarks on what cq doesn't have."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from cq.definitions import registry
from cq.text import brief
from cq_scheduler import cron
from cq_scheduler.fields import site_timezone
from cq_scheduler.models import RepeatingTask
from cq_scheduler.timing import when as timing
from cq_scheduler.timing.when import At, Every

from .crontab import cron_line
from .values import arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cq_scheduler.timing.when import When

    from .tables import Interval, PeriodicTask

#: By broker, the sign of a priority in cq, where the higher number is the more urgent.
PRIORITY_SIGNS = {"redis": -1, "rabbitmq": 1}
#: The task that Celery schedules by itself to delete old results.
_CLEANUP = "celery.backend_cleanup"


@dataclass
class Converted:
    """A schedule to be, with what of its origin it doesn't have."""

    row: RepeatingTask
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Converter:
    """The conversion of rows into schedules, with what is the same for all of them.

    now: the present. names: the registered name for a task of Celery, where it has
    another. broker: a key of `PRIORITY_SIGNS`, or "" where it is not known.
    """

    now: datetime
    names: Mapping[str, str]
    broker: str = ""

    def convert(self, beat: PeriodicTask) -> Converted:
        """Return what the row becomes; raises ValueError for what nothing becomes of."""
        if beat.task == _CLEANUP:
            raise ValueError(
                "not needed: cq deletes tasks past their result_ttl itself"
            )
        name = self.names.get(beat.task, beat.task)
        if name not in registry.names():
            raise ValueError(
                f"no task named {name!r} is registered here; decorate it with @task, or "
                f"say which one it is by --map {beat.task}=..."
            )
        converted = Converted(RepeatingTask(name=name))
        row = converted.row
        row.args, row.kwargs = arguments(beat.args, beat.kwargs)
        row.queue = beat.queue or ""
        row.enabled = beat.enabled
        row.start_after = _aware(beat.start_time)
        row.end_after = _end(_aware(beat.expires), self.now)
        row.timezone = _zone(beat)
        for name, value in timing.columns_of(self.when(beat, converted)).items():
            setattr(row, name, value)
        self.set_priority(beat, converted)
        converted.remarks += _left_out(beat)
        return converted

    def when(self, beat: PeriodicTask, converted: Converted) -> When:
        """Return when it comes; a run that is the only one is at its moment."""
        if beat.solar is not None:
            raise ValueError(
                f"cq knows no solar schedules, like this at {beat.solar.event!r}"
            )
        if beat.one_off and beat.total_run_count:
            raise ValueError("it was to run once, and has")
        if beat.clocked is not None:
            return _moment(_aware(beat.clocked.clocked_time), self.now)
        if beat.crontab is not None:
            when: str | Every = cron_line(
                beat.crontab.minute,
                beat.crontab.hour,
                beat.crontab.day_of_month,
                beat.crontab.month_of_year,
                beat.crontab.day_of_week,
            )
        elif beat.interval is not None:
            when = Every(_interval(beat.interval), _anchor(beat))
        else:
            raise ValueError("it has no schedule")
        if not beat.one_off:
            return when
        return self.once(when, beat, converted)

    def once(self, when: str | Every, beat: PeriodicTask, converted: Converted) -> At:
        """Return the moment of a run that is the only one, with a remark of it."""
        if not beat.enabled:
            raise ValueError(
                "it is to run once when it is enabled, and a moment has to be given; "
                "enable it first, or use at(...)"
            )
        row = RepeatingTask(
            **timing.columns_of(when),
            timezone=converted.row.timezone,
            start_after=converted.row.start_after,
            end_after=converted.row.end_after,
        )
        slot = row.next_slot(self.now)
        if slot is None:
            raise ValueError("it was to run once, and no slot of it is to come")
        converted.remarks.append(f"one_off: runs once, at {slot}")
        return At(slot)

    def set_priority(self, beat: PeriodicTask, converted: Converted) -> None:
        """Set the priority, or remark that it is left out or cut."""
        if beat.priority is None:
            return
        if not self.broker:
            converted.remarks.append(
                f"priority {beat.priority} is left out: whether high or low comes first "
                "depends on Celery's broker; name it by --broker"
            )
            return
        priority = max(-100, min(100, beat.priority * PRIORITY_SIGNS[self.broker]))
        converted.row.priority = priority
        if abs(priority) != beat.priority:
            converted.remarks.append(f"priority {beat.priority} is cut to {priority}")


def _zone(beat: PeriodicTask) -> str:
    aware = getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True)
    if beat.crontab is None or not aware:
        return str(getattr(settings, "CELERY_TIMEZONE", None) or site_timezone())
    cron.zone(beat.crontab.timezone)
    return str(beat.crontab.timezone)


def _interval(interval: Interval) -> timedelta:
    try:
        return timedelta(**{interval.period: interval.every})
    except (TypeError, OverflowError) as error:
        raise ValueError(
            f"every {interval.every} {interval.period}: cq knows no such interval"
        ) from error


def _anchor(beat: PeriodicTask) -> datetime:
    """Return what Celery counts from next."""
    moment = _aware(beat.last_run_at or beat.start_time or beat.date_changed)
    assert moment is not None
    return moment.replace(microsecond=0)


def _moment(moment: datetime | None, now: datetime) -> At:
    assert moment is not None
    if moment <= now:
        raise ValueError(f"its moment is over: {moment}")
    return At(moment)


def _end(expires: datetime | None, now: datetime) -> datetime | None:
    """Return the last moment before it: Celery makes nothing at that moment any more."""
    if expires is None:
        return None
    if expires <= now:
        raise ValueError(f"it has expired: {expires}")
    return expires - timedelta.resolution


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if timezone.is_naive(moment):  # USE_TZ is off
        moment = timezone.make_aware(moment)
    return moment.astimezone(UTC)


def _left_out(beat: PeriodicTask) -> list[str]:
    remarks = []
    if beat.expire_seconds is not None:
        remarks.append(
            f"expire_seconds {beat.expire_seconds} is left out: give the task itself "
            f"@task(expires=timedelta(seconds={beat.expire_seconds}))"
        )
    empty: tuple[Any, ...] = (None, "", "{}", "null")
    for name in ("exchange", "routing_key", "headers"):
        value = getattr(beat, name)
        if value not in empty:
            remarks.append(f"{name} {value!r} is left out: cq has no broker")
    if beat.description:
        remarks.append(
            f"description {brief(beat.description)} is left out: the docstring of the "
            "task is the place for it"
        )
    return remarks
