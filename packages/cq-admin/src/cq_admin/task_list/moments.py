"""Moments as people write them: a while ago, or a time of the reader's own clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from cq.durations import seconds

if TYPE_CHECKING:
    from datetime import date


def moment(text: str, now: datetime) -> datetime:
    """Return what ``2h``, ``7d``, ``2026-07-01`` or ``2026-07-01T06:00`` means.

    Raises ValueError.
    """
    text = text.strip()
    try:
        return now - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    found = parse_datetime(text)
    if found is None:
        day: date | None = parse_date(text)
        if day is None:
            raise ValueError(f"{text!r} is no time and no while")
        found = datetime(day.year, day.month, day.day)
    if timezone.is_aware(found):
        return found
    try:
        return timezone.make_aware(found)
    except OverflowError as error:
        raise ValueError(f"{text!r} is too far away") from error
