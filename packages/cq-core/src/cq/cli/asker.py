"""Who runs a command, for the history of what it changes and for the log."""

from __future__ import annotations

import getpass
import logging
import os
import socket

from cq.text import cut_off, one_line, storable

logger = logging.getLogger("cq")

#: Characters of each: a column and an operation take both with the command.
LONGEST_LOGIN, LONGEST_HOST = 60, 80


def login() -> str:
    """Return the name of the system's user; where it has none, as in a container, its number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def asked_by(command: str) -> str:
    """Return who runs a command where: ``alice@web-1 (cq retry)``."""
    name = cut_off(_clean(login()), LONGEST_LOGIN)
    host = cut_off(_clean(socket.gethostname()), LONGEST_HOST)
    return f"{name}@{host} ({command})"


def note(command: str, what: str, count: int) -> None:
    """Log what a person has done by a command, and to how many; nothing where it is none."""
    if count:
        logger.info("%s: %s: %d", asked_by(command), what, count)


def _clean(text: str) -> str:
    # Of the environment, which may say anything.
    return one_line(storable(text, LONGEST_HOST))
