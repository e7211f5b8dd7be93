"""Names of a schedule's columns, for those who need no model."""

from __future__ import annotations

LONGEST_PAUSED_BY = 150
#: Written by ticks; a save of the rest leaves them alone.
TICK_COLUMNS = (
    "last_run",
    "next_run",
    "last_error",
    "missed_from",
    "missed_until",
    "last_coalesced",
)
#: The columns of a pause, as they are while there is none.
UNPAUSED = {
    "paused_at": None,
    "paused_by": "",
    "pause_reason": "",
    "paused_until": None,
}
