"""The moments that flags of commands name: so long from now, or by date and time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cq.durations import seconds

if TYPE_CHECKING:
    from collections.abc import Callable


def moment_of(text: str, moved: Callable[[timedelta], datetime]) -> datetime | None:
    """Return the moment that a text names, aware; None: it names none.

    moved: what is so long before, or behind, the present.
    """
    try:
        return moved(timedelta(seconds=seconds(text)))
    except (ValueError, OverflowError):
        pass
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)
