"""Recording calls: rows and edges of a whole workflow in the caller's transaction."""

from __future__ import annotations

from .bulk import record_many
from .place import After, Place
from .recording import record, record_free

__all__ = ["After", "Place", "record", "record_free", "record_many"]
