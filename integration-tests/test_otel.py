"""One trace from a view to the last of what it has set off, with OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
import telemetry
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import cq
from cq import chain, group, task
from cq.db.statements import uuid_param
from cq.execution import async_runner
from cq.lifecycle import claim
from cq.models import Task, schedule_task
from cq.testing import run_tasks
from cq_scheduler.models import RepeatingTask
from cq_scheduler.ticker.tick import tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = pytest.mark.django_db(transaction=True)

tracer = trace.get_tracer("tests")
SECRET = "hunter2"
SEND, PROCESS = "send default", "process default"


@pytest.fixture(autouse=True)
def _on(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    for name, value in telemetry.ON.items():
        setattr(settings, name, value)
    telemetry.in_memory()


def spans(name: str = "") -> tuple[ReadableSpan, ...]:
    """Return what has been exported, by the order of their beginnings."""
    found = telemetry._exporter.get_finished_spans()
    found = tuple(span for span in found if span.name.startswith(name))
    return tuple(sorted(found, key=lambda span: span.start_time or 0))


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def one_trace() -> list[Any]:
    """Return the tree of all spans, which have to be of one trace."""
    assert len({span.context.trace_id for span in spans() if span.context}) == 1
    return telemetry.tree(spans())


@task
def leaf(cqt: Any, *args: Any) -> Any:
    return args[0] if args else None


@task
def parent(cqt: Any) -> Any:
    return cqt.subtask(leaf, SECRET)


@task(retries=1)
def fails_once(cqt: Any, secret: str) -> None:
    if cqt.attempt == 1:
        raise ValueError("not yet")
    cqt.subtask(leaf)


@task
def later_once(cqt: Any) -> None:
    if cqt.attempt == 1:
        raise cq.RetryLater(0)


@task(atomic=False)
async def awaits(cqt: Any) -> Any:
    return await cqt.asubtask(leaf)


@task(atomic=False)
async def awaits_the_other(cqt: Any) -> None:
    arrived.append(cqt)
    if len(arrived) == 2:
        both_are_here[0].set()
    await both_are_here[0].wait()
    await leaf.adelay(cqt.id)
    tracing.append((cqt.id, trace.get_current_span().get_span_context().span_id))


arrived: list[Any] = []
both_are_here: list[asyncio.Event] = []
tracing: list[Any] = []


@task
def sums(cqt: Any, *numbers: Any) -> int:
    return len(numbers)


CALLS: dict[str, Callable[[], Any]] = {
    "direct": lambda: leaf.delay(SECRET),
    "subtask": parent.delay,
    "retry": lambda: fails_once.delay(SECRET),
    "later": later_once.delay,
    "chain": lambda: chain(leaf.s(SECRET), leaf.s()).delay(),
    "group": lambda: group(leaf.s(SECRET), leaf.s(2)).delay(),
    "many": lambda: leaf.delay_many([(SECRET,), (2,), (3,)]),
    "coroutine": awaits.delay,
    "schedule": lambda: schedule_task(RepeatingTask, "* * * * *", parent),
}
TREES: dict[str, list[Any]] = {
    "direct": [(SEND, (PROCESS,))],
    "subtask": [(SEND, (PROCESS, (SEND, (PROCESS,))))],
    "retry": [(SEND, (PROCESS,), (PROCESS, (SEND, (PROCESS,))))],
    "later": [(SEND, (PROCESS,), (PROCESS,))],
    "chain": [(SEND, (PROCESS,), (PROCESS,))],
    "group": [(SEND, (PROCESS,), (PROCESS,))],
    "many": [(SEND, (PROCESS,), (PROCESS,), (PROCESS,))],
    "coroutine": [(SEND, (PROCESS, (SEND, (PROCESS,))))],
    "schedule": [(SEND, (PROCESS, (SEND, (PROCESS,))))],
}


def click(request: Any, what: str) -> HttpResponse:
    CALLS[what]()
    return HttpResponse()


urlpatterns = [path("click/<what>", click)]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("what", CALLS)
def test_a_click_and_all_that_follows_is_one_trace(what: str, client: Any) -> None:
    with tracer.start_as_current_span("GET /click"):
        client.get(f"/click/{what}")
    assert not trace.get_current_span().get_span_context().is_valid
    for row in RepeatingTask.objects.all():
        assert tick("default", row.next_run) == 1
    while Task.objects.filter(status__in=["QUEUED", "RETRY", "PENDING"]).exists():
        later = Task.objects.order_by("-run_after").exclude(run_after=None).first()
        run_tasks(now=later.run_after if later else None)

    assert one_trace() == [("GET /click", *TREES[what])]
    shown = " ".join(span.to_json() for span in spans())
    assert SECRET not in shown


def test_the_attributes_are_those_of_the_conventions() -> None:
    handle = leaf.using(queue="mail").delay(SECRET)
    run_tasks()

    sent, processed = spans()
    assert (sent.name, sent.kind) == ("send mail", SpanKind.PRODUCER)
    shared = {
        "messaging.system": "cq",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(handle.id),
        "messaging.message.conversation_id": str(handle.id),
        "cq.task.name": leaf.name,
    }
    assert dict(sent.attributes or {}) == {
        **shared,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert (processed.name, processed.kind) == ("process mail", SpanKind.CONSUMER)
    assert dict(processed.attributes or {}) == {
        **shared,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "cq.task.attempt": 1,
    }
    assert processed.parent is not None
    assert processed.parent.is_remote
    assert handle.context["otel"].keys() == {"traceparent"}


def test_calls_that_are_made_together_are_one_batch() -> None:
    handles = leaf.delay_many([(number,) for number in range(1200)])
    whole = group(leaf.using(queue="mail").s(1), sums.s(2)).delay()

    many, together = spans(SEND[:4])
    assert len(handles) == 1200
    assert many.attributes is not None
    assert many.attributes["messaging.batch.message_count"] == 1200
    assert many.attributes["cq.task.name"] == leaf.name
    assert "messaging.message.id" not in many.attributes
    assert together.attributes is not None
    assert together.attributes["messaging.batch.message_count"] == 2
    assert together.attributes["messaging.message.id"] == str(whole.id)
    assert "cq.task.name" not in together.attributes


def test_a_call_that_is_rolled_back_leaves_no_span() -> None:
    with transaction.atomic():
        leaf.delay(1)
        leaf.delay_many([(2,), (3,)])
        transaction.set_rollback(True)
    assert spans() == ()

    with transaction.atomic():
        leaf.delay(4)
        with transaction.atomic():
            leaf.delay(5)
            transaction.set_rollback(True)
        assert spans() == ()
    assert len(spans()) == 1


@task
def undoes_one(cqt: Any) -> None:
    leaf.delay(1)
    with transaction.atomic():
        leaf.delay(2)
        transaction.set_rollback(True)


def test_what_a_task_undoes_leaves_no_span() -> None:
    undoes_one.delay()
    run_tasks()
    assert one_trace() == [(SEND, (PROCESS, (SEND, (PROCESS,))))]


def test_a_call_that_another_one_stands_for_leaves_no_span() -> None:
    once = leaf.using(unique="one")
    assert once.delay().created
    assert not once.delay().created
    assert len(spans()) == 1


def test_a_failure_is_recorded_and_waiting_is_none() -> None:
    fails_once.delay(SECRET)
    later_once.delay()
    run_tasks()
    for row in Task.objects.filter(status="RETRY"):
        run_tasks(now=row.run_after)

    by_task: dict[Any, list[ReadableSpan]] = {}
    for span in spans(PROCESS):
        assert span.attributes is not None
        by_task.setdefault(span.attributes["cq.task.name"], []).append(span)
    failed, succeeded = by_task[fails_once.name]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "not yet"
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ValueError"
    (event,) = failed.events
    assert event.attributes is not None
    assert event.attributes["exception.message"] == "not yet"
    shown = str(event.attributes["exception.stacktrace"])
    assert "fails_once" in shown.splitlines()[1]
    assert succeeded.status.status_code is StatusCode.UNSET

    put_off, done = by_task[later_once.name]
    for span in (put_off, done):
        assert span.status.status_code is StatusCode.UNSET
        assert span.events == ()
    assert put_off.attributes is not None
    assert put_off.attributes["cq.task.outcome"] == "retry_later"


@task
def revokes_itself(cqt: Any) -> None:
    cqt.revoke()
    cqt.log("it is noticed here")
    raise cq.Revoked


def test_a_revoked_run_is_no_failure() -> None:
    revokes_itself.delay()
    run_tasks()
    (span,) = spans(PROCESS)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["cq.task.outcome"] == "revoked"


def test_a_fan_in_has_links_to_the_others() -> None:
    first, second = leaf.delay(1), leaf.delay(2)
    together = leaf.delay_many([(3,), (4,)])
    sums.delay(first, second, *together, first)
    run_tasks()

    last = spans(PROCESS)[-1]
    sent = spans(SEND)
    assert last.parent is not None
    assert last.parent.span_id == id_of(sent[3])
    assert [link.context.span_id for link in last.links] == [id_of(s) for s in sent[:3]]
    assert last.links[0].attributes == {"messaging.message.id": str(first.id)}
    # Within one batch there is nothing that its parent does not tell.
    telemetry.in_memory()
    chain(group(leaf.s(1), leaf.s(2)), sums.s()).delay()
    run_tasks()
    assert [span.links for span in spans()] == [()] * 4


def test_the_links_of_a_coroutine_are_read_as_well() -> None:
    handle = awaits_results.delay(leaf.delay(1))
    run_tasks()
    assert len(spans(PROCESS)[-1].links) == 1
    assert handle.get(1) == 1


@task(atomic=False)
async def awaits_results(cqt: Any, number: int) -> int:
    return number


def test_coroutines_on_one_loop_do_not_mix_their_spans() -> None:
    handles = [awaits_the_other.delay() for _ in range(2)]
    claimed = [
        claim("default", 7, "id = %s", [_param(handle.pk)], 1)[0] for handle in handles
    ]

    async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
        return await sync_to_async(function)(*args)

    async def both() -> None:
        both_are_here[:] = [asyncio.Event()]
        await asyncio.gather(
            *(async_runner.execute(row, None, in_thread) for row in claimed)
        )
        assert not trace.get_current_span().get_span_context().is_valid

    arrived.clear()
    tracing.clear()
    async_to_sync(both)()
    run_tasks()

    for handle in handles:
        assert handle.get(1) is None
        (sent,) = [s for s in spans(SEND) if _of(s, handle)]
        (run,) = [s for s in spans(PROCESS) if _of(s, handle)]
        assert (handle.id, id_of(run)) in tracing
        assert telemetry.tree(spans(), id_of(sent)) == [
            (PROCESS, (SEND, (PROCESS,))),
        ]


def _of(span: ReadableSpan, handle: Any) -> bool:
    return (span.attributes or {})["messaging.message.id"] == str(handle.id)


def _param(pk: Any) -> Any:
    from django.db import connection

    return uuid_param(connection, pk)


@task
def hands_over(cqt: Any) -> None:
    cqt.errorback(leaf, SECRET)
    raise ValueError("broken")


def test_an_errorback_is_in_the_trace_of_what_failed() -> None:
    hands_over.delay()
    run_tasks()
    assert one_trace() == [(SEND, (PROCESS, (SEND, (PROCESS,))))]


def test_a_call_may_be_given_a_trace_or_begin_one() -> None:
    other = f"00-{7:032x}-{9:016x}-01"
    with tracer.start_as_current_span("view"):
        leaf.using(context={"otel": {"traceparent": other}}).delay()
        leaf.using(context={"otel": None}).delay()
    given, begun = spans(SEND)
    assert given.parent is not None
    assert (given.parent.trace_id, given.parent.span_id) == (7, 9)
    assert begun.parent is None


def test_a_schedule_may_begin_a_trace_each_time() -> None:
    with tracer.start_as_current_span("view"):
        row = schedule_task(
            RepeatingTask, "* * * * *", leaf, (1,), context={"otel": None}
        )
    for _ in range(2):
        row.refresh_from_db()
        assert tick("default", row.next_run) == 1
        run_tasks()
    assert telemetry.tree(spans()) == [("view",), *[(SEND, (PROCESS,))] * 2]
    assert len({span.context.trace_id for span in spans() if span.context}) == 3


def test_what_the_caller_does_not_sample_is_not_sampled() -> None:
    unsampled = f"00-{7:032x}-{9:016x}-00"
    call = parent.using(context={"otel": {"traceparent": unsampled}})
    handle = call.delay()
    run_tasks()
    assert spans() == ()
    assert handle.context["otel"]["traceparent"].startswith(f"00-{7:032x}-")


def test_the_state_of_the_vendor_travels_along() -> None:
    given = {"traceparent": f"00-{7:032x}-{9:016x}-01", "tracestate": "vendor=x"}
    handle = parent.using(context={"otel": given}).delay()
    run_tasks()
    assert handle.context["otel"]["tracestate"] == "vendor=x"
    for span in spans():
        assert span.context is not None
        assert span.context.trace_state.get("vendor") == "x"


@pytest.mark.parametrize(
    "forged",
    [
        "text",
        7,
        ["traceparent"],
        {"traceparent": 7},
        {"traceparent": "00-x"},
        {"traceparent": f"00-{0:032x}-{0:016x}-01", "tracestate": "=,=,"},
        {"traceparent": {"__import__": "os"}},
    ],
    ids=str,
)
def test_a_forged_trace_is_none(forged: Any) -> None:
    handle = leaf.delay(1)
    Task.objects.update(options={"context": {"otel": forged}})
    run_tasks()
    assert handle.get(1) == 1
    assert spans(PROCESS)[0].parent is None


def test_a_serial_run_is_below_who_calls() -> None:
    with tracer.start_as_current_span("view"):
        assert parent() == SECRET
    assert one_trace() == [("view", (PROCESS, (PROCESS,)))]


def test_what_goes_wrong_with_a_span_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("broken")

    from cq.contrib.otel import links, send

    monkeypatch.setattr(send.Sending, "_describe", broken)
    monkeypatch.setattr(links, "_links", broken)
    handle = sums.delay(leaf.delay(1), leaf.delay(2))
    run_tasks()
    assert handle.get(1) == 2
    assert "could not end its sending" in caplog.text
    assert "could not be read" in caplog.text


def test_the_numbers_are_those_of_the_conventions() -> None:
    def count(name: str, **wanted: Any) -> int:
        return sum(
            value
            for attributes, value in telemetry.points(name)
            if wanted.items() <= attributes.items()
        )

    numbers: dict[str, dict[str, Any]] = {
        "messaging.client.sent.messages": {"messaging.operation.name": "send"},
        "messaging.client.consumed.messages": {"messaging.operation.name": "process"},
        "messaging.process.duration": {"cq.task.name": fails_once.name},
    }
    queue = {"messaging.destination.name": "counted", "messaging.system": "cq"}
    before = {n: count(n, **queue, **more) for n, more in numbers.items()}
    wrong = {"error.type": "ValueError"}
    failures = count("messaging.process.duration", **queue, **wrong)

    fails_once.using(queue="counted").delay_many([(1,), (2,)])
    with transaction.atomic():
        fails_once.using(queue="counted").delay(3)
        transaction.set_rollback(True)
    run_tasks()

    after = {n: count(n, **queue, **more) for n, more in numbers.items()}
    assert {name: after[name] - before[name] for name in numbers} == dict.fromkeys(
        numbers, 2
    )
    assert count("messaging.process.duration", **queue, **wrong) == failures + 2


@pytest.fixture
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith("cq.contrib.otel"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    contrib = importlib.import_module("cq.contrib")
    monkeypatch.delattr(contrib, "otel", raising=False)


@pytest.mark.usefixtures("_without_the_extra")
def test_without_the_extra_it_says_what_to_install() -> None:
    from cq.hooks import carriers, middleware

    wanted = "pip install 'cq-core[otel]'"
    assert wanted in str(middleware.problem("cq.contrib.otel.middleware"))
    (wrong,) = carriers.problems(["cq.contrib.otel.context"])
    assert wanted in wrong
