"""The span ``process QUEUE`` around a run, below the span that has sent it."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.utils.decorators import sync_and_async_middleware
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from cq.errors import (
    LeaseLost,
    OutOfTime,
    RetryLater,
    Revoked,
    Suspended,
    TaskTimeout,
)
from cq.runs.failures import describe

from .conventions import (
    common,
    consumed_messages,
    is_off,
    process_duration,
    tracer,
)
from .links import links_of, takes_results

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from opentelemetry.trace import Link, Span
    from opentelemetry.util.types import AttributeValue

#: What ends a run that has done nothing wrong, and what its span says of it.
_NO_FAILURE = {
    RetryLater: "retry_later",
    Revoked: "revoked",
    LeaseLost: "lease_lost",
    Suspended: "suspended",
}


@sync_and_async_middleware
def middleware(call_next: Callable[..., Any], run: Any) -> Any:
    """Put a span around a run; on an event loop it is a coroutine's own."""
    if is_off():
        return call_next(run)
    if iscoroutinefunction(call_next):
        return _awaited(call_next, run)
    with _processing(run, links_of(run) if takes_results(run) else ()):
        return call_next(run)


async def _awaited(call_next: Callable[..., Awaitable[Any]], run: Any) -> Any:
    links = await sync_to_async(links_of)(run) if takes_results(run) else ()
    with _processing(run, links):
        return await call_next(run)


@contextmanager
def _processing(run: Any, links: Sequence[Link]) -> Iterator[None]:
    shared = common("process", run.queue)
    span = tracer.start_span(
        f"process {run.queue}",
        kind=trace.SpanKind.CONSUMER,
        attributes={**shared, **_facts(run)},
        links=links,
    )
    consumed_messages.add(1, shared)
    measured = {**shared, "cq.task.name": run.name}
    began = perf_counter()
    try:
        with trace.use_span(
            span, record_exception=False, set_status_on_exception=False
        ):
            yield
    except BaseException as error:
        if kind := _ended_by(span, error):
            measured["error.type"] = kind
        raise
    finally:
        process_duration.record(perf_counter() - began, measured)
        span.end()


def _facts(run: Any) -> dict[str, AttributeValue]:
    facts: dict[str, AttributeValue] = {
        "messaging.operation.type": "process",
        "messaging.message.id": str(run.id),
        "messaging.message.conversation_id": str(run.root_id),
        "cq.task.name": run.name,
        "cq.task.attempt": run.attempt,
    }
    if run.release is not None:
        facts["cq.task.release"] = run.release
    return facts


def _ended_by(span: Span, error: BaseException) -> str | None:
    """Record what ended a run; return the kind of a failure, None for no failure."""
    for kind, outcome in _NO_FAILURE.items():
        if isinstance(error, kind):
            span.set_attribute("cq.task.outcome", outcome)
            return None
    # As its row has it: the traceback begins at the task's function.
    failure = describe(error)
    name = failure.exception or type(error).__qualname__
    if isinstance(error, OutOfTime):
        name = f"{TaskTimeout.__module__}.{TaskTimeout.__qualname__}"
    if span.is_recording():
        span.record_exception(
            error,
            {
                "exception.type": name,
                "exception.message": failure.error,
                "exception.stacktrace": failure.traceback or "",
            },
        )
        span.set_attribute("error.type", name)
        span.set_status(StatusCode.ERROR, failure.error)
    return name
