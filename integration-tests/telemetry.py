"""OpenTelemetry's own SDK: in memory for tests, and as lines of a file for real workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

ON = {
    "CQ_MIDDLEWARE": ["cq.contrib.otel.middleware"],
    "CQ_CONTEXT": ["cq.contrib.otel.context"],
}
#: A process has one of each: they can be set once.
_exporter = InMemorySpanExporter()
_reader = InMemoryMetricReader()


def in_memory() -> InMemorySpanExporter:
    """Keep the spans and numbers of this process in memory; return where the spans are."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([_reader]))
    _exporter.clear()
    return _exporter


def to_file(path: str) -> None:
    """Write each span of this process into a file as it ends; for the settings of a worker."""
    out = Path(path).open("a", buffering=1)  # noqa: SIM115
    exporter = ConsoleSpanExporter(
        out=out, formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def from_file(path: Path) -> list[dict[str, Any]]:
    """Return the spans that workers have written, each on a whole line."""
    text = path.read_text() if path.exists() else ""
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def points(name: str) -> list[tuple[dict[str, Any], Any]]:
    """Return the attributes and the value, or the count, of each point of a number."""
    data = _reader.get_metrics_data()
    return [
        (dict(point.attributes), getattr(point, "count", getattr(point, "value", None)))
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def tree(spans: tuple[ReadableSpan, ...], parent: int | None = None) -> list[Any]:
    """Return the names of spans below one, in the order they began, each with its own."""
    mine = [s for s in spans if (s.parent.span_id if s.parent else None) == parent]
    mine.sort(key=lambda span: span.start_time)
    return [
        (span.name, *tree(spans, span.context.span_id)) if span.context else span.name
        for span in mine
    ]
