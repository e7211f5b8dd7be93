"""Moments as columns and expressions of the databases, and as Python has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime


def epoch_sql(vendor: str, moment: str) -> str:
    """Return SQL for a moment that is to be read by `epoch`.

    A driver takes several times as long for a moment with its time zone as for a number.
    """
    if vendor == "postgresql":
        return f"EXTRACT(EPOCH FROM {moment})::float8"
    return moment


def epoch(value: Any) -> float | None:
    """Return what a driver gave for `epoch_sql` as seconds since 1970."""
    if value is None or isinstance(value, float):
        return value
    found = aware(value)
    assert found is not None
    return found.timestamp()


def aware(value: Any) -> datetime | None:
    """Return what a driver gave for a moment: text on SQLite, in UTC on both others."""
    if isinstance(value, str):
        value = parse_datetime(value)
    if value is None or value.tzinfo:
        return value  # type: ignore[no-any-return]
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between, never below 0; None where a moment is not known."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())
