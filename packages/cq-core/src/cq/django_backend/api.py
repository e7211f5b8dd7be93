"""Django's own Tasks, from wherever they are: one place for :mod:`cq.backends`.

From Django 6.0 on they are ``django.tasks``; for 5.2 the package ``django-tasks`` is the
same ahead of its time. Raises ImportError, with what to install, where neither is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import django

__all__ = [
    "BaseTaskBackend",
    "DjangoTask",
    "InvalidTask",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "normalize_json",
    "signals",
]

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks import signals
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task as DjangoTask
    from django.tasks.base import TaskContext, TaskError, TaskResult, TaskResultStatus
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from django.utils.json import normalize_json
else:
    try:
        from django_tasks import exceptions, signals
        from django_tasks.backends.base import BaseTaskBackend
        from django_tasks.base import Task as DjangoTask
        from django_tasks.base import (
            TaskContext,
            TaskError,
            TaskResult,
            TaskResultStatus,
        )
        from django_tasks.exceptions import TaskResultDoesNotExist
        from django_tasks.utils import normalize_json

        # Its releases after 0.12 have Django's name for it.
        if hasattr(exceptions, "InvalidTask"):
            InvalidTask = exceptions.InvalidTask
        else:
            InvalidTask = exceptions.InvalidTaskError
    except ModuleNotFoundError as error:
        if error.name != "django_tasks":
            raise
        raise ImportError(
            f"Django {django.get_version()} has no Tasks of its own yet, and the "
            'package with them is not installed: pip install "cq-core[backport]"'
        ) from error
