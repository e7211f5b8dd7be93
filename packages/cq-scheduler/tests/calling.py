"""Calls of ``manage.py cqscheduler``, and schedules for it to find."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import repeating_samples as samples
from django.core.management import call_command

from cq_scheduler.declaring.schedule_task import schedule_task
from cq_scheduler.models import RepeatingTask

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def cqscheduler(*args: str) -> str:
    out = io.StringIO()
    call_command("cqscheduler", *args, stdout=out)
    return out.getvalue()


def as_json(*args: str) -> Any:
    return json.loads(cqscheduler(*args, "--format", "json"))


def schedule(
    crontab: Any = "0 7 * * *", task: Any = samples.report, **fields: Any
) -> Any:
    fields = {"timezone": "Europe/Paris", **fields}
    args = fields.pop("args", ())
    return schedule_task(RepeatingTask, crontab, task, args, **fields)
