"""Helpers for the tests of projects that use cq.

A test case that runs in a transaction records tasks but never commits, so nothing runs
by itself::

    def test_newsletter(self):
        send_newsletter.delay("May")
        assert_enqueued(send_newsletter, args=("May",))
        run_tasks()
        assert_enqueued(send_email, kwargs={"to": "a@b.org"})

These are plain functions, for pytest as for unittest; :mod:`cq.pytest_plugin` has fixtures
that stand on them.
"""

from __future__ import annotations

from .in_line import serial
from .recorded import assert_enqueued, enqueued, refute_enqueued
from .runs import LIMIT, run_tasks

__all__ = [
    "LIMIT",
    "assert_enqueued",
    "enqueued",
    "refute_enqueued",
    "run_tasks",
    "serial",
]
