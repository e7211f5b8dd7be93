"""django-ox, with its batches for a group and its callback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django_ox.bulk import enqueue_many
from oxpull import batches

from peers.system import Command, count, django, interval

from .tasks_backend import TASKS, TasksBackend

if TYPE_CHECKING:
    from collections.abc import Iterable


class DjangoOx(TasksBackend):
    fans_out = True

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        enqueue_many(TASKS[name], [((number,), {}) for number in numbers])

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        return [
            django(
                "ox_worker",
                *("--processes", str(processes)),
                *("--concurrency", str(threads or 2)),
                *("--interval", interval()),
            )
        ]

    def finished(self) -> int:
        return count(
            "SELECT count(*) FROM django_ox_oxtask WHERE status IN "
            "('SUCCESSFUL', 'FAILED', 'LOST')"
        )

    def fan_out(self, children: int) -> None:
        with transaction.atomic():
            batch = batches.create(
                "bench", on_complete=TASKS["stamp"], on_complete_args=[children]
            )
            for number in range(children):
                batch.add(TASKS["noop"], number)
            batch.seal()

    def nudge(self) -> None:
        batches.reconcile.func()


SYSTEM = DjangoOx()
