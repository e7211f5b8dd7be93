"""Runs by hand, beside those at the slots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from django.db import transaction

from cq.conf import conf
from cq.db.clock import database_now

if TYPE_CHECKING:
    from cq.models import Task
    from cq_scheduler.models import RepeatingTask


def run_now(schedule: RepeatingTask) -> Task:
    """Make a task of a schedule at once; it is among its runs, and changes no slot.

    Also of one that is paused. While it coalesces and a run is not done, that run is
    returned, and its `created` is False. Raises UnknownTask, TypeError, CodecError or
    ValueError when it cannot run, as its `last_error` would say.
    """
    # A module may import this function before the apps are ready, when the tables can't
    # be loaded yet: so what works on rows is imported where it is used.
    from cq.enqueue import recording
    from cq.hooks.context import KEY, captured_at_retry
    from cq_scheduler.models import slots
    from cq_scheduler.models.task_call import call_of

    using = schedule._state.db or conf.DATABASE
    call = call_of(schedule)
    # Who runs it by hand acts in it, whoever has made the schedule.
    if (mine := captured_at_retry({KEY: call.options.context})) is not None:
        call = replace(call, changes={**call.changes, KEY: mine[KEY]})
    with transaction.atomic(using=using):
        task = recording.record(using, call)
        if task.created:
            now = database_now(using)
            slots(using).create(
                schedule_id=schedule.pk, slot=now, task_id=task.pk, made=now
            )
    return cast("Task", task)
