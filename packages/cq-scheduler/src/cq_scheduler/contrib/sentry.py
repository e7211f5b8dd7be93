"""Check-ins at Sentry's cron monitors, one for each schedule; wants ``sentry-sdk``.

``cq_scheduler.contrib.sentry.check_ins`` belongs into ``CQ_MIDDLEWARE``. Sentry makes a
monitor of the first check-in, with the cron line and the time zone of the schedule.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

try:
    import sentry_sdk
    from sentry_sdk.crons import capture_checkin
except ImportError as error:
    raise ImportError(
        "cq_scheduler.contrib.sentry needs sentry-sdk, which is not installed: "
        "pip install cq-core[sentry]"
    ) from error

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.utils.decorators import sync_and_async_middleware
from django.utils.text import slugify

from cq.conf import conf
from cq.definitions import registry
from cq.definitions.signatures import changes_of
from cq.runs.run import when_failed
from cq.tables.values import schedule_of
from cq_scheduler.cron.lines import ALIASES
from cq_scheduler.models import schedules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from cq_scheduler.models import RepeatingTask

__all__ = ["check_ins", "slug_of"]

#: Sentry's.
LONGEST_SLUG = 50
#: What comes through as it is.
_PLAIN = re.compile(r"[a-z0-9_.:-]+")
#: The longest first.
_UNITS = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
}


@sync_and_async_middleware
def check_ins(call_next: Callable[[Any], Any], run: Any) -> Any:
    """Tell Sentry that a task which a schedule has made begins, and how it ends.

    A run by hand is none, nor is a schedule that comes once, or by seconds.
    """
    if not _is_scheduled(run):
        return call_next(run)
    if iscoroutinefunction(call_next):
        return _awaited(call_next, run)
    check_in = _begun(run)
    value = call_next(run)
    if check_in is not None:
        check_in.send("ok")
    return value


async def _awaited(call_next: Callable[[Any], Awaitable[Any]], run: Any) -> Any:
    check_in = await sync_to_async(_begun)(run)
    value = await call_next(run)
    if check_in is not None:
        check_in.send("ok")
    return value


def _cut_off(task: Any) -> None:
    """Tell that nobody brings to its end what was begun: it is LOST, or revoked."""
    if not _is_scheduled(task) or not _has_begun(task):
        return
    if (found := _monitor_of(task)) is not None:
        _CheckIn(slug_of(found[0]), task.pk).send("error")


def _has_begun(task: Any) -> bool:
    # A run that a worker hands back as it stops counts as none, but is in the history.
    return bool(task.attempts) or task.history.exists()


check_ins.cut_off = _cut_off  # type: ignore[attr-defined]


def slug_of(schedule: RepeatingTask) -> str:
    """Return the name of a schedule's monitor: of letters, digits, `_` and `-`.

    That is the key of a `@repeat`, the same wherever the code runs; else the name of the
    task, and the key of the row.
    """
    name = schedule.key or f"{schedule.name}-{schedule.pk}"
    slug = slugify(name.replace(".", "-").replace(":", "_")).strip("-_")
    if len(slug) > LONGEST_SLUG or slug.isdigit() or not _PLAIN.fullmatch(name):
        digest = sha256(name.encode()).hexdigest()[:8]
        slug = f"{slug[-LONGEST_SLUG + 9 :].strip('-_')}-{digest}".strip("-")
    return slug


def _is_scheduled(run: Any) -> bool:
    scheduled = schedule_of(run.options) is not None
    return scheduled and sentry_sdk.get_client().is_active()


def _begun(run: Any) -> _CheckIn | None:
    """Check in, and have it told if the run fails for good; None: it has no monitor."""
    found = _monitor_of(run)
    if found is None:
        return None
    schedule, config = found
    check_in = _CheckIn(slug_of(schedule), run.id)
    when_failed("sentry check-in", lambda error, failure: check_in.send("error"))
    if run.attempt == 1:
        check_in.send("in_progress", config | _longest_run(run))
    return check_in


def _monitor_of(run: Any) -> tuple[RepeatingTask, dict[str, Any]] | None:
    """Return the schedule that has made a task, with what Sentry makes a monitor of."""
    using = run._state.db or conf.DATABASE
    key = schedule_of(run.options) or 0
    schedule = schedules(using).filter(pk=key).first()
    config = None if schedule is None else _config(schedule)
    return None if schedule is None or config is None else (schedule, config)


def _longest_run(run: Any) -> dict[str, int]:
    """Return after how many minutes Sentry may call it a timeout, where that is known.

    With retries it is not: the check-in stays open from the first attempt to the last.
    """
    options = registry.get(run.name).options.merged(changes_of(run.options))
    if options.timeout is None or options.retries:
        return {}
    return {"max_runtime": 1 + math.ceil(options.timeout / 60)}


class _CheckIn:
    """One check-in, from the first attempt to the end, which may be in other processes."""

    def __init__(self, slug: str, task_id: UUID) -> None:
        self._slug = slug
        self._id = task_id.hex

    def send(self, status: Any, config: Any = None) -> None:
        capture_checkin(self._slug, self._id, status, monitor_config=config)


def _config(schedule: RepeatingTask) -> dict[str, Any] | None:
    """Return what Sentry makes a monitor of; None for what it has no word for."""
    if schedule.crontab:
        line = ALIASES.get(schedule.crontab.strip().lower(), schedule.crontab)
        when: dict[str, Any] = {"type": "crontab", "value": line}
    elif schedule.interval is not None and not schedule.interval % _UNITS["minute"]:
        unit = next(u for u, length in _UNITS.items() if not schedule.interval % length)
        value = schedule.interval // _UNITS[unit]
        when = {"type": "interval", "value": value, "unit": unit}
    else:
        return None
    # A worker looks every few seconds; Sentry counts whole minutes.
    margin = 1 + math.ceil(schedule.jitter / 60)
    return {"schedule": when, "timezone": schedule.timezone, "checkin_margin": margin}
