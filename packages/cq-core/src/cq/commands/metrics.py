"""The verbs ``metrics``, what Prometheus would read, and ``mark``, for the charts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.verb import Verb, add_format
from cq.figures.marks import mark as mark_moment
from cq.metrics import FAMILIES, read
from cq.metrics.exposition import ExtraMissing, exposition
from cq.metrics.families import Histogram

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output
    from cq.metrics import Family, Sample


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the text to a file, which is replaced as a whole, instead of "
        "showing it",
    )
    add_format(parser)


def metrics(output: Output, options: dict[str, Any]) -> None:
    target: Path | None = options["output"]
    if output.as_json:
        if target is not None:
            raise CommandError("--output is for the text; it can't go with JSON")
        samples = read()
        output.json(
            {name: _as_json(of, samples[name]) for name, of in FAMILIES.items()}
        )
        return
    try:
        text, _ = exposition(read())
    except ExtraMissing as error:
        raise CommandError(str(error)) from error
    if target is None:
        for line in text.decode().splitlines():
            output.line(line)
        return
    try:
        _replace(target, text)
    except OSError as error:
        raise CommandError(
            f"--output {target} cannot be written: {error.strerror}"
        ) from error


def _replace(target: Path, text: bytes) -> None:
    """Write a file that nobody can read half of."""
    # Not a name that a collector of *.prom files takes for one.
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(text)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _as_json(family: Family, samples: list[Sample]) -> dict[str, Any]:
    found = []
    for sample in samples:
        value: Any = sample.value
        if isinstance(value, Histogram):
            buckets = dict(value.added_up)
            value = {"count": buckets["+Inf"], "sum": value.total, "buckets": buckets}
        labels = dict(zip(family.labels, sample.labels, strict=True))
        found.append({"labels": labels, "value": value})
    return {"type": family.kind, "help": family.help, "samples": found}


def _mark_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "text", metavar="TEXT", help="what it is, in at most 100 characters: v42"
    )


def mark(output: Output, options: dict[str, Any]) -> None:
    try:
        mark_moment(options["text"])
    except ValueError as error:
        raise CommandError(str(error)) from error
    output.line(f"marked: {options['text'].strip()}")


VERBS = (
    Verb(
        "metrics", "figures of queues and workers, for Prometheus", _arguments, metrics
    ),
    Verb(
        "mark", "mark this moment in the charts, as a deploy's", _mark_arguments, mark
    ),
)
