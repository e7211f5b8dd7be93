"""The trace that a task takes along, and the span of its recording."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import sentry_sdk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

#: Beyond it the baggage stays behind: it is of use, but a trace does without.
LONGEST_BAGGAGE = 2048


class context:
    """The trace of where a task is called; `cq.contrib.sentry.middleware` continues it."""

    name = "sentry"

    @staticmethod
    def capture() -> dict[str, str] | None:
        if not sentry_sdk.get_client().is_active():
            return None
        return _headers(sentry_sdk.get_traceparent(), sentry_sdk.get_baggage())

    @staticmethod
    def enter(value: Any) -> AbstractContextManager[None]:
        """Do nothing: the middleware begins the transaction, whatever surrounds it."""
        return nullcontext()

    @staticmethod
    def sending(value: Any, task: Any) -> _Publishing | None:
        """Begin the span of calls that are made here, if something is under way here."""
        # An errorback and a task of a schedule continue what they keep.
        if sentry_sdk.get_current_span() is None or value != context.capture():
            return None
        return _Publishing(task)


def carried_by(run: Any) -> dict[str, str]:
    """Return the headers that continue the trace in a run; {} for a trace of its own."""
    found = run.context.get(context.name)
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name in ("sentry-trace", "baggage")
        if isinstance(value := found.get(name), str)
    }


class _Publishing:
    """The span of calls that are recorded together, from the first one to their commit.

    One that does not finish is not sent, so calls that are rolled back leave none.
    """

    def __init__(self, task: Any) -> None:
        self._span = sentry_sdk.start_span(
            op="queue.publish", name=task.name, origin="auto.queue.cq"
        )
        self.value = _headers(self._span.to_traceparent(), sentry_sdk.get_baggage())

    def recorded(self, tasks: Sequence[Any]) -> None:
        """Finish it; of several the first stands for all."""
        self._span.set_data("messaging.system", "cq")
        self._span.set_data("messaging.message.id", str(tasks[0].id))
        self._span.set_data("messaging.destination.name", tasks[0].queue)
        if len(tasks) > 1:
            self._span.set_data("messaging.batch.message_count", len(tasks))
        self._span.finish()


def _headers(trace: str | None, baggage: str | None) -> dict[str, str] | None:
    if not trace:
        return None
    if not baggage or len(baggage) > LONGEST_BAGGAGE:
        return {"sentry-trace": trace}
    return {"sentry-trace": trace, "baggage": baggage}
