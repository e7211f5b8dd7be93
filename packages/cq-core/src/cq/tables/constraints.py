"""The constraints that the database holds a task's row to, and the indexes of the table."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.db.models.lookups import Exact

from cq.status import ATTENTION, FAILED, FINAL, FOR_THE_CLOCK, OPEN, Status

_FINAL = sorted(FINAL)
_OPEN = sorted(OPEN)
_FAILED = sorted(FAILED)
_ATTENTION = sorted(ATTENTION)

CONSTRAINTS = (
    models.CheckConstraint(
        name="cq_finished_when_final",
        condition=Q(status__in=_FINAL, finished__isnull=False)
        | Q(status__in=_OPEN, finished__isnull=True),
    ),
    models.CheckConstraint(
        name="cq_worker_when_running",
        condition=Q(status=Status.RUNNING, worker__isnull=False)
        | (~Q(status=Status.RUNNING) & Q(worker__isnull=True)),
    ),
    models.CheckConstraint(
        name="cq_unique_key_when_open",
        condition=Q(unique_key__isnull=True) | Q(status__in=_OPEN),
    ),
    models.CheckConstraint(
        name="cq_retry_has_time",
        condition=~Q(status=Status.RETRY) | Q(run_after__isnull=False),
    ),
    models.CheckConstraint(
        name="cq_priority_range", condition=Q(priority__range=(-100, 100))
    ),
    models.CheckConstraint(name="cq_fence_not_negative", condition=Q(fence__gte=0)),
)

#: A task that is QUEUED, and whose lane may have no row yet. Its status as an expression:
#: what has it by the column may be looked for in ``cq_ready`` as well, and where the planner
#: knows of no row that is QUEUED it would read all of that.
#: The lane first: it is looked at for each row that is written, and hardly any has one.
NEWCOMER = Q(lane__isnull=False, listed__isnull=True) & Q(
    Exact(Upper("status"), Status.QUEUED)
)

#: Each for one question, and over those rows alone that may be an answer.
INDEXES = (
    models.Index(
        "queue",
        F("priority").desc(),
        "lane",
        "id",
        name="cq_ready",
        condition=Q(status=Status.QUEUED),
    ),
    models.Index(
        fields=["lane", "id"],
        name="cq_newcomers",
        condition=NEWCOMER,
    ),
    models.Index(
        fields=["run_after"],
        name="cq_due",
        condition=Q(status__in=sorted(FOR_THE_CLOCK), run_after__isnull=False),
    ),
    models.Index(
        fields=["expires"],
        name="cq_expiring",
        condition=Q(status__in=[Status.PENDING, Status.QUEUED], expires__isnull=False),
    ),
    models.Index(
        fields=["worker"],
        name="cq_running",
        condition=Q(worker__isnull=False),
    ),
    models.Index(fields=["id"], name="cq_waiting", condition=Q(status=Status.WAITING)),
    models.Index(fields=["id"], name="cq_pending", condition=Q(status=Status.PENDING)),
    models.Index(
        fields=["id"], name="cq_suspended", condition=Q(status=Status.SUSPENDED)
    ),
    models.Index(
        fields=["parent", "id"],
        name="cq_children",
        condition=Q(parent__isnull=False),
    ),
    models.Index(
        fields=["parent"],
        name="cq_open_children",
        condition=Q(parent__isnull=False, counted=True, status__in=_OPEN),
    ),
    models.Index(
        fields=["parent"],
        name="cq_failed_children",
        condition=Q(parent__isnull=False, counted=True, status__in=_FAILED),
    ),
    models.Index(
        fields=["root", "id"],
        name="cq_tree",
        condition=Q(parent__isnull=False),
    ),
    models.Index(
        fields=["result_ttl", "finished"],
        name="cq_prunable",
        condition=Q(
            parent__isnull=True,
            result_ttl__isnull=False,
            finished__isnull=False,
        ),
    ),
    models.Index(
        fields=["status", "finished"],
        name="cq_prunable_by_setting",
        condition=Q(
            parent__isnull=True,
            result_ttl__isnull=True,
            finished__isnull=False,
        ),
    ),
    models.Index(
        fields=["kept_key", "finished"],
        name="cq_kept_keys",
        condition=Q(kept_key__isnull=False, finished__isnull=False),
    ),
    models.Index(
        fields=["status", "id"],
        name="cq_attention",
        condition=Q(status__in=_ATTENTION),
    ),
    models.Index(
        fields=["name", "status", "id"],
        name="cq_attention_by_name",
        condition=Q(status__in=_ATTENTION),
    ),
)
