"""The middleware for Sentry: each run has a scope and a transaction of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sentry_sdk
from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from sentry_sdk.scope import use_isolation_scope
from sentry_sdk.utils import capture_internal_exceptions, event_from_exception

from cq.errors import LeaseLost, RetryLater, Revoked, Suspended
from cq.runs.run import when_failed

from . import log_lines
from .description import Description, queue_data
from .trace import carried_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sentry_sdk.scope import Scope
    from sentry_sdk.tracing import Transaction

    from cq.lifecycle import Failure

#: What says where a span comes from, in Sentry's own words.
ORIGIN = "auto.queue.cq"


@sync_and_async_middleware
def middleware(call_next: Callable[[Any], Any], run: Any) -> Any:
    """Run a task in a scope of its own; without a DSN, just run it."""
    if not sentry_sdk.get_client().is_active():
        return call_next(run)
    if iscoroutinefunction(call_next):
        return _awaited(call_next, run)
    with _scope_of(run):
        return call_next(run)


async def _awaited(call_next: Callable[[Any], Awaitable[Any]], run: Any) -> Any:
    with _scope_of(run):
        return await call_next(run)


@contextmanager
def _scope_of(run: Any) -> Iterator[None]:
    with sentry_sdk.isolation_scope() as scope:
        # Those are of other tasks, of the worker, or of the request around a run in line.
        scope.clear_breadcrumbs()
        scope.set_transaction_name(run.name, source="task")
        scope.set_tags({"task": run.name, "queue": run.queue, "attempt": run.attempt})
        scope.add_event_processor(Description(run))
        transaction = sentry_sdk.continue_trace(
            carried_by(run),
            op="queue.process",
            name=run.name,
            source="task",
            origin=ORIGIN,
        )
        if not getattr(run, "is_called", False):
            # Of a task that is called as a function, the caller has the exception.
            when_failed("sentry", _Report(scope, transaction))
        raised = None
        with sentry_sdk.start_transaction(transaction):
            for name, value in queue_data(run).items():
                transaction.set_data(name, value)
            try:
                yield
            except BaseException as error:
                # Not through the transaction, which would call all of them errors.
                raised = error
            transaction.set_status(_status(raised))
        if raised is not None:
            raise raised


def _status(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, RetryLater):
        return "unavailable"
    if isinstance(error, (Revoked, LeaseLost)):
        return "cancelled"
    if isinstance(error, Suspended):
        return "ok"
    return "internal_error"


class _Report:
    """What sends the error of a run that has failed for good, once that is recorded."""

    def __init__(self, scope: Scope, transaction: Transaction) -> None:
        self._scope = scope
        self._transaction = transaction

    def __call__(self, error: BaseException, failure: Failure) -> None:
        if isinstance(error, RetryLater):
            return  # it has expired meanwhile, which is no error
        with (
            # One that cannot be sent so is left to the line in the log.
            capture_internal_exceptions(),
            use_isolation_scope(self._scope),
            sentry_sdk.new_scope() as scope,
        ):
            # Behind its end: the error belongs to the trace all the same.
            scope.span = self._transaction
            event, hint = event_from_exception(
                error,
                client_options=sentry_sdk.get_client().options,
                mechanism={"type": "cq", "handled": False},
            )
            sentry_sdk.capture_event(event, hint=hint)
            log_lines.reported(error)
