"""The wrapper of a WSGI application beside which a worker runs: ``with_worker``."""

from __future__ import annotations

from typing import Any

from .embedding.server import worker_of_this_server


class _WithWorker:
    """A WSGI application that starts the worker before it is called first."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        worker_of_this_server.start()
        return self.application(environ, start_response)


def with_worker(application: Any) -> Any:
    """Return a WSGI application beside which one worker a host runs.

    As :func:`cq_channels.asgi.with_worker`.
    """
    return (
        _WithWorker(application) if worker_of_this_server.is_wanted() else application
    )


def post_fork(server: Any = None, worker: Any = None) -> None:
    """Start the worker without waiting for a request: a hook of gunicorn or uWSGI.

    In ``gunicorn.conf.py``: ``from cq_channels.wsgi import post_fork``. The settings
    have to be known by then: ``DJANGO_SETTINGS_MODULE`` is to be in the environment.
    """
    if worker_of_this_server.is_wanted():
        worker_of_this_server.start()
