"""Errors, traces and queues of tasks in Sentry; wants ``cq-core[sentry]``.

``cq.contrib.sentry.middleware`` belongs into ``CQ_MIDDLEWARE``, as the first, and
``cq.contrib.sentry.context`` into ``CQ_CONTEXT``.
"""

from __future__ import annotations

try:
    import sentry_sdk as _  # noqa: F401
except ImportError as error:
    raise ImportError(
        "cq.contrib.sentry needs sentry-sdk, which is not installed: "
        "pip install cq-core[sentry]"
    ) from error

from .around_run import middleware
from .trace import context

__all__ = ["context", "middleware"]
