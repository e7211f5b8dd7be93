"""RQ's worker with Django loaded: one process for all jobs."""

import django
from rq import SimpleWorker

django.setup()


class Worker(SimpleWorker):
    """No fork for each job."""
