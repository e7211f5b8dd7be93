"""django-tasks-db."""

from __future__ import annotations

from peers.system import Command, count, django, interval

from .tasks_backend import TasksBackend


class DjangoTasksDb(TasksBackend):
    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        # It runs one task at a time: threads are processes here.
        command = django("db_worker", "--interval", interval(), "--no-startup-delay")
        return [command] * (processes * (threads or 1))

    def finished(self) -> int:
        return count(
            "SELECT count(*) FROM django_tasks_database_dbtaskresult "
            "WHERE finished_at IS NOT NULL"
        )


SYSTEM = DjangoTasksDb()
