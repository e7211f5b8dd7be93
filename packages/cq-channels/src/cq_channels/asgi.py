"""The wrapper of an ASGI application beside which a worker runs: ``with_worker``."""

from __future__ import annotations

from typing import Any

from .embedding.server import worker_of_this_server


class _WithWorker:
    """An ASGI application that starts the worker before it is called first."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        worker_of_this_server.start()
        await self.application(scope, receive, send)


def with_worker(application: Any) -> Any:
    """Return an ASGI application beside which one worker a host runs.

    With ``CQ_EMBEDDED = True``; else the application itself. However many processes the
    server has, one of them keeps the worker, and it ends with the server. For one small
    machine: elsewhere run ``manage.py cqworker``.
    """
    return (
        _WithWorker(application) if worker_of_this_server.is_wanted() else application
    )
