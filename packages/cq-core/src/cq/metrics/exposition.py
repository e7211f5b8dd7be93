"""The text that Prometheus reads, made by its own library: the extra ``prometheus``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .families import FAMILIES, Family, Histogram, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reading import Samples


class ExtraMissing(ImportError):
    """`prometheus_client` is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the text for Prometheus needs prometheus_client; install cq-core with its "
            "extra: cq-core[prometheus]"
        )


def exposition(samples: Samples, accept: str = "") -> tuple[bytes, str]:
    """Return the samples as text, and its content type, as an Accept header wants it.

    Raises ExtraMissing without the extra.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise ExtraMissing from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read(samples))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


class _Read:
    """What has been read, as the library collects it."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def collect(self) -> Iterator[Any]:
        for name, family in FAMILIES.items():
            yield _metric(family, self.samples[name])


def _metric(family: Family, samples: list[Sample]) -> Any:
    from prometheus_client.core import (
        GaugeHistogramMetricFamily,
        GaugeMetricFamily,
    )

    if family.kind == "gauge":
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for sample in samples:
            assert not isinstance(sample.value, Histogram)
            gauge.add_metric(sample.labels, sample.value)
        return gauge
    histogram = GaugeHistogramMetricFamily(
        family.name, family.help, labels=family.labels
    )
    for sample in samples:
        assert isinstance(sample.value, Histogram)
        histogram.add_metric(
            sample.labels, sample.value.added_up, gsum_value=sample.value.total
        )
    return histogram
