"""Celery on Redis, with its results in the database."""

from __future__ import annotations

from peers.system import count

from .celery_redis import TASKS, CeleryRedis, app

app.conf.update(result_backend="django-db", result_extended=False)


class CeleryDatabase(CeleryRedis):
    module = "peers.systems.celery_database"

    def finished(self) -> int:
        return count("SELECT count(*) FROM django_celery_results_taskresult")


SYSTEM = CeleryDatabase()
__all__ = ["SYSTEM", "TASKS", "app"]
