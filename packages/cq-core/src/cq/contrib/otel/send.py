"""The carrier of the trace: a span ``send QUEUE`` where calls are made, then their parent."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .conventions import common, is_container, is_off, sent_messages, tracer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

#: W3C's headers alone: baggage may be anything, and a row is read by many.
_w3c = TraceContextTextMapPropagator()


class context:
    """The trace of the caller: ``traceparent`` and ``tracestate`` by W3C."""

    name = "otel"

    @staticmethod
    def capture() -> dict[str, str] | None:
        return _written(trace.get_current_span())

    @staticmethod
    @contextmanager
    def enter(value: Any) -> Iterator[None]:
        """Make the span that it names the current one; what names none does nothing."""
        token = contexts.attach(read(value, contexts.get_current()))
        try:
            yield
        finally:
            contexts.detach(token)

    @staticmethod
    def sending(value: Any, task: Any) -> Sending | None:
        """Begin the span of calls that are made here, below what was captured."""
        return None if is_off() else Sending(value, task)


class Sending:
    """The span of calls that are recorded together, from the first one to their commit.

    One that is never ended is never exported, so calls that are rolled back leave none.
    """

    def __init__(self, value: Any, task: Any) -> None:
        # An errorback and a task of a schedule are below what they keep, not below what
        # this process does just now.
        here = contexts.get_current()
        parent = here if value == context.capture() else read(value, contexts.Context())
        attributes = common("send", task.queue)
        attributes["messaging.operation.type"] = "send"
        self._span: Span = tracer.start_span(
            f"send {task.queue}", parent, trace.SpanKind.PRODUCER, attributes
        )
        self.value = _written(self._span)

    def recorded(self, tasks: Sequence[Any]) -> None:
        """End the span, with what has become known since, and count."""
        calls = [task for task in tasks if not is_container(task)] or tasks
        queues = Counter(task.queue for task in calls)
        for queue, count in queues.items():
            sent_messages.add(count, common("send", queue))
        if self._span.is_recording():
            self._describe(tasks[0], calls, queues)
        self._span.end()

    def _describe(self, first: Any, calls: Sequence[Any], queues: Counter[str]) -> None:
        # Of several the first stands for all: a group, a chain, or nothing but the first.
        if len(calls) == 1 or first is not calls[0]:
            self._span.set_attribute("messaging.message.id", str(first.id))
        self._span.set_attribute(
            "messaging.message.conversation_id", str(first.root_id)
        )
        if len(calls) > 1:
            self._span.set_attribute("messaging.batch.message_count", len(calls))
        names = {task.name for task in calls}
        if len(names) == 1:
            self._span.set_attribute("cq.task.name", names.pop())
        if len(queues) == 1:
            queue = next(iter(queues))
            self._span.set_attribute("messaging.destination.name", queue)
            self._span.update_name(f"send {queue}")


def read(value: Any, within: Context) -> Context:
    """Return a context in which the span that a value names is the current one.

    Whoever can write the row may have written it: what is no such value is left out.
    """
    if not isinstance(value, dict):
        return within
    headers = {key: text for key, text in value.items() if isinstance(text, str)}
    return _w3c.extract(headers, within)


def _written(span: Span) -> dict[str, str] | None:
    headers: dict[str, str] = {}
    if span.get_span_context().is_valid:
        _w3c.inject(headers, trace.set_span_in_context(span, contexts.Context()))
    return headers or None
