"""A run that somebody asks for, beside those at the slots."""

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
    """Make a task of a schedule at once; it is among its runs, and changes no slot.

    Also of one that is paused. While it coalesces and a run is not done, that run is
    returned, and its `created` is False. Raises UnknownTask, TypeError, CodecError or
    ValueError when it cannot run, as its `last_error` would say.
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
