"""What is asked of processes by their rows is done; what they say of themselves is written.

This comes behind a heartbeat that was noted, and fails none: the session that beats holds
the locks of the processes, and is closed where a heartbeat fails.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import Error

from cq.tables.worker_rows import Request
from cq.workers import requests

from .stacks import StackAsker

if TYPE_CHECKING:
    from collections.abc import Callable

    from .process import Process

logger = logging.getLogger("cq.worker")


class RequestAnswerer:
    """The answerer of requests, on the thread that beats.

    came: called on another thread when there are stacks to keep, by `keep_stacks`.
    """

    def __init__(self, using: str, came: Callable[[], None]) -> None:
        self.using = using
        self._stacks = StackAsker(came)

    def keep_stacks(self) -> None:
        self._stacks.keep(self.using)

    def answer(self, living: list[Process], asked: dict[int, str]) -> None:
        """Do what is asked of processes, by worker, and write which claim no more."""
        for process in living:
            if request := asked.get(process.worker):
                logger.info("%s is asked for: %s", process, request)
                if request == Request.STACK:
                    self._stacks.ask(process)
                else:
                    process.answer(Request(request))
        try:
            requests.heard(self.using, asked)
            for process in living:
                state = process.state
                if state is not None and state != process.told_state:
                    requests.tell(self.using, process.worker, state)
                    process.told_state = state
        except Error as error:
            # With the next heartbeat, all that is left: behind a lock that is not free
            # each of them would wait as long. What is done twice does no harm.
            logger.warning("what was asked of workers could not be noted: %s", error)
