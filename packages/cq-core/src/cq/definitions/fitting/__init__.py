"""Whether a call fits a task: one that is made here, or one that a release has recorded."""

from __future__ import annotations

from .calls import BY_NAME, BY_POSITION, Misfit, is_required, misfits

__all__ = ["BY_NAME", "BY_POSITION", "Misfit", "is_required", "misfits"]
