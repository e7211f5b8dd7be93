"""Signals of what becomes of tasks, for other parts of a project: Django's, and synchronous.

Each is sent after the commit, in the process that did it, with ``sender=Task`` and
``task=`` the row; those of workers with ``sender=Worker`` and ``worker=`` the row. What a
receiver raises is logged and goes no further. A process that dies between a commit and
its signal sends none: what must not be missed belongs into a task, or its errorback.
"""

from __future__ import annotations

from django.dispatch import Signal

#: A call was recorded; once a row, also of ``delay_many``, a group and a chain.
task_recorded = Signal()
#: A run begins, before its function is called.
task_started = Signal()
#: A task waits for another attempt: after a failure (RETRY), or by hand (``retry()``).
task_retried = Signal()
#: A task has a final status, whoever gave it that; ``outcome=`` is that status.
task_settled = Signal()
#: A task of a worker that died went back to the queue. One that is LOST has settled.
task_rescued = Signal()
#: A worker begins to claim, in the process that runs its tasks.
worker_started = Signal()
#: A worker claims no more, and lets what runs come to its end.
worker_stopping = Signal()
