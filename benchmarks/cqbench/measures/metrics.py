"""What a scrape of /metrics takes in a table of five million, and how many statements."""

from __future__ import annotations

import time
from statistics import quantiles

from django.db import connection
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

from cq.contrib.prometheus import metrics
from cqbench.filling.history import fill

ROWS, ROWS_QUICK = 5_000_000, 50_000
TIMES, TIMES_QUICK = 100, 5


def measure(quick: bool) -> dict[str, float]:
    fill(ROWS_QUICK if quick else ROWS)
    took: list[float] = []
    cpu: list[float] = []
    statements: list[float] = []
    token = "measured-here-and-nowhere-else"
    request = RequestFactory().get(
        "/metrics", headers={"authorization": f"Bearer {token}"}
    )
    with override_settings(CQ_METRICS_TOKEN=token):
        for _ in range(TIMES_QUICK if quick else TIMES):
            began, used = time.perf_counter(), time.process_time()
            response = metrics(request)
            took.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
            assert response.status_code == 200, response.content
            # Another one, for Django takes time to note them.
            with CaptureQueriesContext(connection) as queries:
                metrics(request)
            statements.append(sum(float(query["time"]) for query in queries))
    return {
        "p50": quantiles(took, n=100)[49] * 1000,
        "p95": quantiles(took, n=100)[94] * 1000,
        "cpu": quantiles(cpu, n=100)[49] * 1000,
        "database": quantiles(statements, n=100)[49] * 1000,
        "statements": len(queries),
    }
