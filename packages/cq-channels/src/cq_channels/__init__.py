"""Runs cq tasks on workers that Django Channels wakes, and shows them live."""

__version__ = "1.0.0"
