"""Turns rows of django-celery-beat into schedules, and says what a schedule cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from cq import registry

from .. import cron, timing
from ..fields import site_timezone
from ..models import RepeatingTask
from ..timing import At, Every
from .lines import cron_line
from .values import arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..timing import When
    from .tables import Interval, PeriodicTask

#: Where a lower number is the more urgent one; elsewhere the higher.
BROKERS = {"redis": -1, "rabbitmq": 1}
#: What Celery schedules by itself: cq deletes what is past its `result_ttl`.
_CLEANUP = "celery.backend_cleanup"


@dataclass
class Carried:
    """A schedule to be, with what of its origin it doesn't have."""

    row: RepeatingTask
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Carrier:
    """What is the same for all rows.

    now: the present. names: the registered name for a task of Celery, where it has
    another. broker: a key of `BROKERS`, or "" where it is not known.
    """

    now: datetime
    names: Mapping[str, str]
    broker: str = ""

    def carry(self, beat: PeriodicTask) -> Carried:
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
        carried = Carried(RepeatingTask(name=name))
        row = carried.row
        row.args, row.kwargs = arguments(beat.args, beat.kwargs)
        row.queue = beat.queue or ""
        row.enabled = beat.enabled
        row.start_after = _aware(beat.start_time)
        row.end_after = _end(_aware(beat.expires), self.now)
        row.timezone = _zone(beat)
        for name, value in timing.columns_of(self.when(beat, carried)).items():
            setattr(row, name, value)
        self.set_priority(beat, carried)
        carried.remarks += _left_behind(beat)
        return carried

    def when(self, beat: PeriodicTask, carried: Carried) -> When:
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
        return self.once(when, beat, carried)

    def once(self, when: str | Every, beat: PeriodicTask, carried: Carried) -> At:
        if not beat.enabled:
            raise ValueError(
                "it is to run once when it is enabled, and a moment has to be given; "
                "enable it first, or use at(...)"
            )
        row = RepeatingTask(
            **timing.columns_of(when),
            timezone=carried.row.timezone,
            start_after=carried.row.start_after,
            end_after=carried.row.end_after,
        )
        slot = row.next_slot(self.now)
        if slot is None:
            raise ValueError("it was to run once, and no slot of it is to come")
        carried.remarks.append(f"one_off: runs once, at {slot}")
        return At(slot)

    def set_priority(self, beat: PeriodicTask, carried: Carried) -> None:
        if beat.priority is None:
            return
        if not self.broker:
            carried.remarks.append(
                f"priority {beat.priority} is left out: whether high or low comes first "
                "depends on Celery's broker; name it by --broker"
            )
            return
        priority = max(-100, min(100, beat.priority * BROKERS[self.broker]))
        carried.row.priority = priority
        if abs(priority) != beat.priority:
            carried.remarks.append(f"priority {beat.priority} is cut to {priority}")


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
    """What Celery counts from next."""
    moment = _aware(beat.last_run_at or beat.start_time or beat.date_changed)
    assert moment is not None
    return moment.replace(microsecond=0)


def _moment(moment: datetime | None, now: datetime) -> At:
    assert moment is not None
    if moment <= now:
        raise ValueError(f"its moment is over: {moment}")
    return At(moment)


def _end(expires: datetime | None, now: datetime) -> datetime | None:
    """The last moment before it: Celery makes nothing at that moment any more."""
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


def _left_behind(beat: PeriodicTask) -> list[str]:
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
    return remarks
