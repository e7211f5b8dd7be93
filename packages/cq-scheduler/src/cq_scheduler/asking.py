"""A run that somebody asks for, beside the slots of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from cq import enqueue
from cq.clock import database_now
from cq.conf import conf

from .calls import call_of
from .models import slots

if TYPE_CHECKING:
    from cq.models import Task

    from .models import RepeatingTask


def run_now(schedule: RepeatingTask) -> Task:
    """Make a task of a schedule, also of one that is paused; its slots stay as they are.

    Where the schedule coalesces and a run of it is not done, that one is returned and no
    other is made: `created` is False. Raises UnknownTask, TypeError for arguments that
    don't fit the function, CodecError for stored ones that cannot be read, ValueError
    for an option with a value that it may not have, UniqueBusy.
    """
    using = schedule._state.db or conf.DATABASE
    call = call_of(schedule)
    with transaction.atomic(using=using):
        task = enqueue.record(using, call)
        if task.created:
            now = database_now(using)
            slots(using).create(
                schedule_id=schedule.pk, slot=now, task_id=task.pk, made=now
            )
    return task
