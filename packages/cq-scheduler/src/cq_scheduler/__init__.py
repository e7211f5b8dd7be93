"""Repeating tasks for cq: cron lines, time zones, coalescing."""

__version__ = "1.0.0"
