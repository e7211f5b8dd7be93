"""The rules of ``CQ_EMBEDDED``: whether this process keeps a worker beside itself."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.db import connections

from cq.conf import conf, problem
from cq.db.connections import in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The value that means: only with DEBUG, and only beside ``runserver``.
DEV = "dev"
RUNSERVERS = ("runserver", "runserver_plus")
#: Set by the reloaders of Django and of Werkzeug in the process that serves.
SERVING = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")


def beside_runserver(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether this process is a ``runserver`` that a worker is to run beside.

    With its reloader there are two: the worker belongs to the one that serves, and so
    ends and starts again with it.
    """
    if tuple(argv[1:2]) not in {(name,) for name in RUNSERVERS}:
        return False
    serves = "--noreload" in argv or any(environ.get(n) == "true" for n in SERVING)
    return serves and wanted(runserver=True)


def wanted(*, runserver: bool = False) -> bool:
    """Tell whether a worker is to run beside a server.

    runserver: of development; else one that `with_worker` was called for.
    """
    value = conf.EMBEDDED
    if problem("EMBEDDED", value) is not None or problem("DATABASE", conf.DATABASE):
        return False  # which a check says
    in_development = runserver and value == DEV and settings.DEBUG
    return (value is True or in_development) and _possible()


def _possible() -> bool:
    """Whether another process could run what this one records."""
    if sys.platform == "win32" or conf.SERIAL or conf.RUN_INLINE:
        return False
    if conf.DATABASE not in connections.databases:
        return False
    if ENVIRONMENT_VARIABLE not in os.environ:  # settings that no other process finds
        return False
    return not in_memory(conf.DATABASE)


def of_this_process() -> bool:
    """As `beside_runserver`, of this very process."""
    return beside_runserver(sys.argv, os.environ)
