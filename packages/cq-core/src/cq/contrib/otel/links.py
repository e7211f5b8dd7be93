"""The links of a run that takes the results of tasks which other spans have sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link

from cq.hooks.context import context_of
from cq.tables.queries import edges

from .send import context, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger("cq.otel")

#: As many as the SDK keeps, unless it is told otherwise.
MOST = 128
#: What the codec writes in the place of a task whose result is an argument.
_MARK = '{"$":"task"'


def takes_results(run: Any) -> bool:
    """Tell whether tasks stand among its arguments; a serial run has no rows to link."""
    stored_text = getattr(run, "stored_text", None)
    return stored_text is not None and any(
        _MARK in stored_text(column) for column in ("args", "kwargs")
    )


def links_of(run: Any) -> Sequence[Link]:
    """Return a link to what has sent each of them, but for its own; in one statement.

    That cannot be read is logged: a run goes on without its links.
    """
    try:
        return [*_links(run)]
    except Exception:
        logger.exception("the links of %s could not be read", run)
        return ()


def _links(run: Any) -> Iterator[Link]:
    upstream = (
        edges(run._state.db)
        .filter(task=run.pk, position__isnull=False)
        .order_by("position")
        .values_list("depends_on_id", "depends_on__options")[:MOST]
    )
    # The members of a group that were sent together have one span.
    seen = {_span_of(run.options).span_id}
    for task_id, options in upstream:
        span = _span_of(options)
        if span.is_valid and span.span_id not in seen:
            seen.add(span.span_id)
            yield Link(span, {"messaging.message.id": str(task_id)})


def _span_of(options: Any) -> trace.SpanContext:
    named = read(context_of(options).get(context.name), Context())
    return trace.get_current_span(named).get_span_context()
