"""The calls that schedules are to make, which ``manage.py cq check-deploy`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.maintenance.waiting_calls import CALLS_PER_PAGE, WaitingCall, register

from .models.repeating_task import enabled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import RepeatingTask


def _calls(using: str) -> Iterator[list[WaitingCall]]:
    # Those of a @repeat are made anew by the next migrate, as the code has them then.
    rows = enabled(using).filter(key__isnull=True).order_by("pk")
    page = list(rows[:CALLS_PER_PAGE])
    while page:
        yield [_call_of(schedule) for schedule in page]
        page = list(rows.filter(pk__gt=page[-1].pk)[:CALLS_PER_PAGE])


def _call_of(schedule: RepeatingTask) -> WaitingCall:
    args: Any = schedule._meta.get_field("args")
    kwargs: Any = schedule._meta.get_field("kwargs")
    return WaitingCall(
        "schedule",
        str(schedule.pk),
        schedule.name,
        args.value_from_object(schedule),
        kwargs.value_from_object(schedule),
    )


register(_calls)
