"""Keeps the site up, with a worker, until Ctrl-C."""

from __future__ import annotations

import socket
import subprocess
import sys

from django.conf import settings
from rich.console import Console
from workers import MANAGE, Worker


def serve() -> None:
    """Serve a shop and the admin, and run tasks, until KeyboardInterrupt."""
    port = _free_port(8000)
    worker = Worker(settings.DATA / "worker.log")
    Console().print(
        f"\n[bold]http://127.0.0.1:{port}/[/]  order something, and see a bar that moves\n"
        f"[bold]http://127.0.0.1:{port}/admin/[/]  log in as admin, password admin; "
        "Ctrl-C ends it"
    )
    # Under ASGI, so that a page is told of changes by a socket.
    site = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-v0", f"-p{port}", "asgi:application"],
        cwd=MANAGE.parent,
    )
    try:
        site.wait()
    finally:
        # A terminal's Ctrl-C has told it already, a signal to this process alone not.
        site.terminate()
        site.wait()
        worker.stop()


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
