"""System checks: what would go wrong later, said by ``manage.py check``."""

from __future__ import annotations

from . import hooks, limits, settings, vendors  # noqa: F401
from .databases import connection_to_ask

__all__ = ["connection_to_ask"]
