"""Rows as workers write them of what they have counted, and of themselves.

All at one moment, so that no minute begins while a test looks.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import DateTimeField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from cq.figures.steps import minute_of
from cq.models import Depth, Figure, Worker
from cq_admin import worker_page
from cq_admin.task_list.serving import Serving

if TYPE_CHECKING:
    import pytest


def by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell who is alive by the heartbeat on SQLite as well, where files are locked."""
    from cq.workers import liveness

    monkeypatch.setattr(liveness, "in_memory", lambda using: False)
    monkeypatch.setattr(liveness, "uses_lock_files", lambda using: False)


def now() -> datetime:
    """The moment of a test: late enough in its minute that charts draw that, too."""
    return _now


def at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages look at this very moment, those of workers by the database's clock too."""
    global _now
    _now = timezone.now().replace(second=40, microsecond=0)
    monkeypatch.setattr(Serving, "now", property(lambda _serving: _now))
    monkeypatch.setattr(
        worker_page, "Moment", lambda: Cast(Value(_now), DateTimeField())
    )


_now = timezone.now()


def alive(*queues: str, seen: float = 0.0, slots: int = 4, state: str = "") -> Worker:
    """A worker that was seen so many seconds ago."""
    number = Worker.objects.count() + 1
    return Worker.objects.create(
        id=number,
        kind="cqworker",
        host=f"web-{number}",
        pid=4711,
        queues=list(queues) or None,
        slots=slots,
        state=state,
        started=_now - timedelta(hours=2),
        last_seen=_now - timedelta(seconds=seen),
    )


def figure(
    ago: float = 5, name: str = "shop.pay", queue: str = "default", **of: Any
) -> Figure:
    """Runs that have ended so many minutes ago."""
    slot = minute_of(_now - timedelta(minutes=ago))
    made, _new = Figure.objects.update_or_create(
        step=1, slot=slot, name=name, queue=queue, defaults=of or {"complete": 1}
    )
    return made


def depth(ago: float, **waiting: int) -> None:
    """What was waiting in each queue so many minutes ago."""
    slot = minute_of(_now - timedelta(minutes=ago))
    columns = [("", sum(waiting.values())), *waiting.items()]
    for queue, number in columns:
        Depth.objects.create(step=1, slot=slot, queue=queue, waiting=number)
