"""Web servers fork, with the doorbell's thread at work: their children enqueue all the same."""

from __future__ import annotations

import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError

import cq_backends
import pytest
from floor.models import Effect
from processes import PATIENCE, until
from sites import flags

from cq.models import Task

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers

REQUESTS = 40


@pytest.mark.backend("postgres", "valkey")
def test_row_15_forked_children_of_gunicorn_enqueue(
    workers: Workers, tmp_path: Path
) -> None:
    own = flags(
        tmp_path,
        ROOT_URLCONF="prefork_site",
        ALLOWED_HOSTS=["127.0.0.1"],
    )
    worker = workers.start(*own)
    port = cq_backends.free_port()
    server = workers.program(
        *(sys.executable, "-W", "ignore::DeprecationWarning", "-m", "gunicorn"),
        *("--preload", "--workers", "3", "--threads", "2"),
        *("--bind", f"127.0.0.1:{port}", "--pythonpath", str(tmp_path)),
        *("--env", "DJANGO_SETTINGS_MODULE=own_settings"),
        "prefork_site:application",
    )

    def get(key: int) -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/?key={key}", timeout=PATIENCE
        ) as answer:
            return str(json.load(answer)["id"])

    def listens() -> str | None:
        assert server.popen.poll() is None, server.output
        try:
            return get(1)
        except HTTPError as error:
            raise AssertionError(server.output) from error
        except URLError:
            return None

    until(listens, "an answer")
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(get, range(2, REQUESTS)))
    assert len(ids) == REQUESTS - 2
    # What was enqueued before the fork as well.
    until(
        lambda: len(set(Effect.objects.values_list("key"))) == REQUESTS, "all of them"
    )
    assert set(Task.objects.values_list("status", "attempts")) == {("COMPLETE", 1)}
    assert server.terminate() == 0, server.output
    assert worker.popen.poll() is None
