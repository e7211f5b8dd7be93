"""The systems that are compared: what they need, and how they are set up.

Nothing here imports any of them: the settings of a system are read before its tasks,
and the run that starts it has none of their libraries.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent.parent
DRIVER = "psycopg[binary]"


@dataclass(frozen=True)
class Peer:
    """One system, run by ``peers.systems.<name>``.

    requirements: what to install, beside Django and psycopg; the first one's version
    is named. durable: whether tasks, or at least outcomes, are in the database.
    backlog: no-op tasks that two processes need some seconds for.
    killed: settings for the run that kills everything, over `settings`.
    """

    title: str
    requirements: tuple[str, ...]
    durable: bool
    setting: str
    apps: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    killed: dict[str, Any] = field(default_factory=dict)
    backlog: int = 5_000
    valkey: bool = False
    #: What it is, for the charts: cq, the limit of the machine, or one of the others.
    kind: Literal["cq", "limit", "peer"] = "peer"


def mode() -> str:
    """Return what the workload is, for settings of its own: see `Workload.mode`."""
    return os.environ.get("CQ_BENCH_MODE", "busy")


def _tasks(backend: str, **options: Any) -> dict[str, Any]:
    return {"TASKS": {"default": {"BACKEND": backend, "OPTIONS": options}}}


def _packages(*names: str) -> tuple[str, ...]:
    return tuple(f"-e {ROOT}/packages/{name}" for name in names)


_OX = {"SCHEDULES": {"r": {"task": "oxpull.batches.reconcile", "cron": "* * * * *"}}}

CQ = Peer(
    title="cq",
    requirements=_packages("cq-core", "cq-channels", "cq-scheduler"),
    durable=True,
    setting="2 threads a process; else as it is by default",
    apps=("cq", "cq_channels", "cq_scheduler"),
    # cq-admin is left out on purpose.
    settings={"SILENCED_SYSTEM_CHECKS": ["cq.W003"]},
    backlog=100_000,
    kind="cq",
)

PEERS = {
    "cq": CQ,
    "limit": replace(
        CQ,
        title="psycopg loop",
        setting="cq's own statements, in batches of 500, and nothing around them",
        kind="limit",
        backlog=300_000,
    ),
    "dj_queue": Peer(
        title="dj-queue",
        requirements=("dj-queue",),
        durable=True,
        setting="fork mode, prefetch multiplier 50, 2 threads a process",
        apps=("dj_queue",),
        settings=_tasks("dj_queue.backend.DjQueueBackend"),
        killed=_tasks(
            "dj_queue.backend.DjQueueBackend",
            process_heartbeat_interval=2,
            process_alive_threshold=15,
        ),
        backlog=10_000,
    ),
    "django_ox": Peer(
        title="django-ox",
        requirements=("django-ox",),
        durable=True,
        setting="--concurrency 2, --interval 0.1 (idle: 1); for the kill LOCK_TIMEOUT 15; its batches need a "
        "reconciler, called here every 0.1 s instead of once a minute",
        apps=("django_ox", "oxpull"),
        settings=_tasks("oxpull.backend.OxpullBackend", **_OX),
        killed=_tasks("oxpull.backend.OxpullBackend", **_OX, LOCK_TIMEOUT=15),
        backlog=6_000,
    ),
    "procrastinate": Peer(
        title="Procrastinate",
        requirements=("procrastinate[django]",),
        durable=True,
        setting="-c 10; for the kill the periodic task from its documentation",
        apps=("procrastinate.contrib.django",),
        settings={"PROCRASTINATE_ON_APP_READY": "peers.systems.procrastinate.ready"},
    ),
    "django_tasks_db": Peer(
        title="django-tasks-db",
        requirements=("django-tasks-db",),
        durable=True,
        setting="--interval 0.1 (idle: 1), no delay at start",
        apps=("django_tasks_db",),
        settings=_tasks("django_tasks_db.DatabaseBackend"),
        backlog=4_000,
    ),
    "celery_database": Peer(
        title="Celery, results in the database",
        requirements=("celery[redis]", "django-celery-results"),
        durable=True,
        setting="prefork, CELERY_DB_REUSE_MAX, prefetch multiplier 50; for the kill "
        "acks_late and a visibility timeout of 30 s",
        apps=("django_celery_results",),
        valkey=True,
        backlog=5_000,
    ),
    "celery_redis": Peer(
        title="Celery, results in Redis",
        requirements=("celery[redis]",),
        durable=False,
        setting="prefork, prefetch multiplier 50; for the kill acks_late and a "
        "visibility timeout of 30 s",
        valkey=True,
        backlog=8_000,
    ),
    "huey": Peer(
        title="Huey",
        requirements=("huey", "redis"),
        durable=False,
        setting="-k process, results kept",
        apps=("huey.contrib.djhuey",),
        valkey=True,
        backlog=20_000,
    ),
    "rq": Peer(
        title="RQ",
        requirements=("rq",),
        durable=False,
        setting="SimpleWorker: no fork for each job",
        valkey=True,
        backlog=5_000,
    ),
    "dramatiq": Peer(
        title="Dramatiq",
        requirements=("dramatiq[redis]",),
        durable=False,
        setting="4 threads a process, results kept in Redis",
        valkey=True,
        backlog=12_000,
    ),
}
