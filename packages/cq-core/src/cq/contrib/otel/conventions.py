"""The names of attributes and numbers, as the semantic conventions for messaging have them.

Nothing here has a call's arguments or its result: they are nobody's business but the
task's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace

from cq import __version__
from cq.definitions.signatures import CHAIN, GROUP

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"

#: They stand for whatever provider the project sets, also later.
tracer = trace.get_tracer("cq", __version__, schema_url=SCHEMA)
_meter = metrics.get_meter("cq", __version__, schema_url=SCHEMA)

sent_messages = _meter.create_counter(
    "messaging.client.sent.messages",
    unit="{message}",
    description="Tasks that were recorded, and committed.",
)
consumed_messages = _meter.create_counter(
    "messaging.client.consumed.messages",
    unit="{message}",
    description="Runs that began.",
)
process_duration = _meter.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="How long a run took.",
    explicit_bucket_boundaries_advisory=[
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
        *(1, 2.5, 5, 7.5, 10),
    ],
)


#: Of the API alone, which stand for a provider until one is set.
_NO_TRACER = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)


def is_off() -> bool:
    """Tell whether the project has set up neither traces nor numbers, at least so far."""
    if not isinstance(trace.get_tracer_provider(), _NO_TRACER):
        return False
    # The one that stands for a provider has no public name.
    return type(metrics.get_meter_provider()).__module__.startswith(metrics.__name__)


def common(operation: str, queue: str) -> dict[str, AttributeValue]:
    """Return what a span and a number of an operation, send or process, have alike."""
    return {
        "messaging.system": "cq",
        "messaging.operation.name": operation,
        "messaging.destination.name": queue,
    }


def is_container(task: Any) -> bool:
    """Tell whether it is a group or a chain, which stands for others and has no run."""
    return task.name in (GROUP, CHAIN)
