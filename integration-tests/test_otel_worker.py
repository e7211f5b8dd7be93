"""One trace from a view into real worker processes, and what tracing costs without an SDK."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sites
import telemetry
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from floor import traced
from opentelemetry import trace
from processes import PATIENCE, until

from cq import chain, group
from cq.models import Task, schedule_task
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers

SECRET = "hunter2"


def click(request: Any) -> HttpResponse:
    """Set off one of each kind."""
    traced.ends.delay(SECRET)
    traced.calls_one_below.delay(SECRET)
    traced.fails_then_calls.delay(SECRET)
    chain(traced.ends.s(SECRET), traced.ends.s()).delay()
    group(traced.ends.s(SECRET), traced.ends.s(SECRET)).delay()
    traced.ends.delay_many([(SECRET,)] * 3)
    traced.meets_another.delay_many([(SECRET,)] * 2)
    schedule_task(RepeatingTask, "0 0 1 1 *", traced.calls_one_below, (SECRET,))
    RepeatingTask.objects.update(next_run=timezone.now())
    return HttpResponse()


urlpatterns = [path("click", click)]
#: Runs and calls of each task, as above.
RUNS = {"ends": 1 + 1 + 1 + 2 + 2 + 3 + 2 + 1, "calls_one_below": 2} | {
    "fails_then_calls": 2,
    "meets_another": 2,
}
SENDS = 7 + 1 + (1 + 1 + 2 + 1)


@pytest.mark.urls(__name__)
def test_a_click_is_one_trace_through_all_workers(
    workers: Workers, tmp_path: Path, settings: Any, client: Any
) -> None:
    for name, value in telemetry.ON.items():
        setattr(settings, name, value)
    exporter = telemetry.in_memory()
    file = tmp_path / "spans"
    extra = f"import telemetry\ntelemetry.to_file({str(file)!r})"
    workers.start("--threads", "2", *sites.flags(tmp_path, extra, **telemetry.ON))

    with trace.get_tracer("tests").start_as_current_span("GET /click") as view:
        client.get("/click")
    until(lambda: len(processed(file)) == sum(RUNS.values()), "the spans of all runs")

    here = [span for span in exporter.get_finished_spans() if span.name != "GET /click"]
    # Those of the view, by themselves as they are exported.
    spans = {span["context"]["span_id"]: span for span in telemetry.from_file(file)}
    known = {f"0x{span.context.span_id:016x}" for span in here if span.context}
    top = f"0x{view.get_span_context().span_id:016x}"
    assert all(s.parent and f"0x{s.parent.span_id:016x}" == top for s in here)
    assert len(known) + len(spans) == SENDS + sum(RUNS.values())
    for span in spans.values():
        assert (
            span["context"]["trace_id"] == f"0x{view.get_span_context().trace_id:032x}"
        )
        assert span["parent_id"] in known | spans.keys() | {top}
        assert SECRET not in str(span)
    runs: dict[str, int] = {}
    for span in processed(file):
        name = span["attributes"]["cq.task.name"].rpartition(".")[2]
        runs[name] = runs.get(name, 0) + 1
    assert runs == RUNS
    failed = [s for s in processed(file) if s["status"]["status_code"] == "ERROR"]
    assert [s["attributes"]["error.type"] for s in failed] == ["ValueError"]
    for span in processed(file):
        if span["attributes"]["cq.task.name"].endswith("meets_another"):
            (below,) = [s for s in spans.values() if s["parent_id"] == _id(span)]
            row = Task.objects.get(pk=below["attributes"]["messaging.message.id"])
            assert str(row.parent_id) == span["attributes"]["messaging.message.id"]


def processed(file: Path) -> list[dict[str, Any]]:
    return [s for s in telemetry.from_file(file) if s["name"].startswith("process")]


def _id(span: dict[str, Any]) -> str:
    return str(span["context"]["span_id"])


NOTHING = """
import sys, django
django.setup()
from cq.conf import conf
from cq.hooks.context import captured
from cq.hooks.sending import sendings
from cq.contrib.otel import middleware
from cq.hooks.facts import RunFacts

assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
assert captured() is None

class Made:
    name, queue, id, root_id, options = "shop.ends", "default", 7, 7, None

made = Made()
def send():
    found = sendings()
    assert found.stored(None, made) is None
    found.recorded([made])

class Run(RunFacts):
    name, queue, id, root_id, options, attempts = "shop.ends", "default", 7, 7, None, 1

run = Run()
def process():
    middleware(lambda run: None, run)

def blocks(call):
    call()
    before = sys.getallocatedblocks()
    for _ in range(1000):
        call()
    return sys.getallocatedblocks() - before

assert blocks(send) < 10
assert blocks(process) < 10
if len(sys.argv) > 1:
    import timeit
    for call in (send, process):
        print(call.__name__, min(timeit.repeat(call, number=10000, repeat=5)) * 100, "us")
"""


def test_without_an_sdk_nothing_is_stored_and_nothing_kept(tmp_path: Path) -> None:
    sites.flags(tmp_path, **telemetry.ON)
    (tmp_path / "nothing.py").write_text(NOTHING)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "nothing.py")],
        env={**_environment(tmp_path), "DJANGO_SETTINGS_MODULE": "own_settings"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _environment(folder: Path) -> dict[str, str]:
    here = os.path.dirname(__file__)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, str(folder)])}
