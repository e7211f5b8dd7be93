"""``worker.py cqworker ...``: manage.py of the worker processes.

libfaketime 0.9.10 gets clock_nanosleep wrong where the time is absolute, as Python's
sleep() has it: it raises OSError. select() is let alone.
"""

from __future__ import annotations

import os
import select
import sys
import time

from django.core.management import execute_from_command_line


def sleep(seconds: float) -> None:
    """As time.sleep."""
    select.select((), (), (), seconds)


if __name__ == "__main__":
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        time.sleep = sleep  # type: ignore[assignment]
    execute_from_command_line(sys.argv)
