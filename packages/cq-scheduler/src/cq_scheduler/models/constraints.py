"""The constraints and indexes of a schedule's row."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

_NO_INTERVAL = Q(interval__isnull=True, anchor__isnull=True)
_AN_INTERVAL = Q(interval__gt=timedelta(), anchor__isnull=False)

CONSTRAINTS = (
    models.CheckConstraint(
        name="cq_schedule_priority_range",
        condition=Q(priority__isnull=True) | Q(priority__range=(-100, 100)),
    ),
    models.CheckConstraint(
        name="cq_schedule_one_kind",
        condition=(~Q(crontab="") & _NO_INTERVAL & Q(at__isnull=True))
        | (Q(crontab="") & _AN_INTERVAL & Q(at__isnull=True))
        | (Q(crontab="") & _NO_INTERVAL & Q(at__isnull=False)),
        violation_error_message=_(
            "Give exactly one: a cron line, an interval or a moment."
        ),
    ),
    models.CheckConstraint(
        name="cq_schedule_paused_is_disabled",
        condition=Q(paused_at__isnull=True, paused_until__isnull=True)
        | Q(paused_at__isnull=False, enabled=False),
    ),
)

INDEXES = (
    models.Index(fields=["enabled", "next_run"], name="cq_schedule_due"),
    models.Index(fields=["paused_until"], name="cq_schedule_pause_over"),
)
