"""The errors of Django's Tasks, as cq raises them.

Beside Django's own Tasks a project may still import the backport, which has classes of
its own. What cq raises is then of both, so that either is caught.
"""

from __future__ import annotations

import sys
from typing import Any

from .api import InvalidTask, TaskResultDoesNotExist

__all__ = ["invalid_task", "result_does_not_exist"]

_BACKPORT = "django_tasks.exceptions"


def invalid_task(text: str) -> Exception:
    """Return Django's InvalidTask with this text, to be raised."""
    # The backport's next release has Django's name for it.
    return _of_both(InvalidTask, "InvalidTask", "InvalidTaskError")(text)


def result_does_not_exist(text: str) -> Exception:
    """Return Django's TaskResultDoesNotExist with this text, to be raised."""
    return _of_both(TaskResultDoesNotExist, "TaskResultDoesNotExist")(text)


def _of_both(own: type[Exception], *names: str) -> type[Exception]:
    # Who catches its classes has imported it. To import it here would patch Django.
    backport = sys.modules.get(_BACKPORT)
    other = next((o for n in names if (o := getattr(backport, n, None))), own)
    return own if issubclass(own, other) else _joined(own, other)


def _joined(own: type[Exception], other: type[Exception]) -> type[Exception]:
    namespace: dict[str, Any] = {"__module__": own.__module__, "__doc__": own.__doc__}
    return type(own.__name__, (own, other), namespace)
