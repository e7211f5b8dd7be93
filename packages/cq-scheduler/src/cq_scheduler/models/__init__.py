"""The models: what repeats and when, and for which moments it has been made."""

from __future__ import annotations

from .repeating_task import NO_SLOT, RepeatingTask, enabled, schedules
from .slot import Slot, slots

__all__ = ["NO_SLOT", "RepeatingTask", "Slot", "enabled", "schedules", "slots"]
