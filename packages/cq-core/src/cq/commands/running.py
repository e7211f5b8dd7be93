"""The verb that runs tasks."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from ..conf import conf
from ..serving import serve
from .verbs import Verb, add_format, queue_names

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from .output import Output


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--loop", action="store_true", help="go on until SIGTERM or Ctrl-C"
    )
    parser.add_argument("--queues", help="serve these only, separated by commas")
    add_format(parser)


def run(output: Output, options: dict[str, Any]) -> None:
    queues = queue_names("--queues", options["queues"])
    with stopped_by_signals() as stop:
        count = serve(conf.DATABASE, stop, once=not options["loop"], queues=queues)
    if output.as_json:
        output.json({"run": count})
    else:
        output.line(f"tasks run: {count}")


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set; a second signal does as ever."""
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    # Only the main thread may; elsewhere nobody but the caller can stop it.
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: Any) -> None:
        stop.set()
        restore()

    for number in signals:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


VERBS = (Verb("run", "run what is queued or due, then exit", _arguments, run),)
