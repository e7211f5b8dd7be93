"""Traces and numbers for OpenTelemetry; wants ``cq-core[otel]``.

``cq.contrib.otel.middleware`` is for ``CQ_MIDDLEWARE``, ``cq.contrib.otel.context`` for
``CQ_CONTEXT``. The SDK, and where it sends things, are the project's.
"""

from __future__ import annotations

try:
    import opentelemetry.trace  # noqa: F401
except ImportError as error:
    raise ImportError(
        "cq.contrib.otel needs opentelemetry-api; install cq-core with its extra: "
        "pip install 'cq-core[otel]'"
    ) from error

from .process import middleware
from .send import context

__all__ = ["context", "middleware"]
