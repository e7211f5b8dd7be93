"""What Sentry is sent of tasks: by its real library, to a transport that keeps it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.utils import timezone
from driving import claim, fresh, run, run_all
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_transport import Kept, initialised

import cq
from cq import task
from cq.contrib.sentry import context, middleware
from cq.django_backend.api import DjangoTask
from cq.execution import async_runner, sync_runner
from cq.hooks.carriers import problems
from cq.hooks.middleware import problem
from cq.maintenance import rescue
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def init() -> Iterator[Callable[..., Kept]]:
    with initialised() as function:
        yield function


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MIDDLEWARE = ["cq.contrib.sentry.middleware"]
    settings.CQ_CONTEXT = ["cq.contrib.sentry.context"]


@pytest.fixture
def sent(init: Callable[..., Kept]) -> Kept:
    return init()


# --- the tasks ------------------------------------------------------------------------


@task
def fine(cqt: Any) -> None: ...


@task
def breaks(cqt: Any, what: str = "broken") -> None:
    raise ValueError(what)


@task(atomic=False)
def breaks_beside(cqt: Any) -> None:
    raise ValueError("broken")


@task(atomic=False)
async def breaks_on_loop(cqt: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


@task(retries=1, backoff=0)
def breaks_twice(cqt: Any) -> None:
    raise ValueError(f"attempt {cqt.attempt}")


@task
def later(cqt: Any) -> None:
    raise cq.RetryLater(60)


@task(retries=5)
def gives_up(cqt: Any) -> None:
    raise cq.GiveUp("no such order")


@task(atomic=False, timeout=0.001)
def takes_too_long(cqt: Any) -> None:
    while True:
        cqt.check_claim()


@task(atomic=False)
def returns_what_cannot_be_stored(cqt: Any) -> Any:
    return object()


@task
def begins(cqt: Any) -> None:
    cqt.subtask(fine)


@task
def begins_one_that_breaks(cqt: Any) -> None:
    cqt.subtask(breaks)


@task
def tidies(cqt: Any) -> None:
    raise LookupError("nothing to tidy")


def of_django(number: int) -> None:
    raise ValueError(f"broken by {number}")


def run_on_a_loop(*handles: Task) -> None:
    async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(_and_close, function, args)

    async def execute() -> None:
        runs = (async_runner.execute(one, None, in_thread) for one in claimed)
        await asyncio.gather(*runs)

    claimed = [claim(handle) for handle in handles]
    async_to_sync(execute)()


def _and_close(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


def exceptions(event: Any) -> list[tuple[str, str]]:
    return [(one["type"], one["value"]) for one in event["exception"]["values"]]


def messages(event: Any) -> list[str]:
    found = event.get("breadcrumbs") or {"values": []}
    return [crumb["message"] for crumb in found["values"]]


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("function", [breaks, breaks_beside, breaks_on_loop])
def test_an_error_is_one_event_of_its_task(sent: Kept, function: Any) -> None:
    handle = function.delay()
    if function is breaks_on_loop:
        run_on_a_loop(handle)
    else:
        run(handle)

    (event,) = sent.errors
    assert exceptions(event) == [("ValueError", "broken")]
    assert event["transaction"] == function.name
    assert event["transaction_info"] == {"source": "task"}
    assert event["tags"] == {"task": function.name, "queue": "default", "attempt": 1}
    assert event["contexts"]["cq"]["id"] == str(handle.pk)
    mechanism = event["exception"]["values"][0]["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("cq", False)
    trace = sent.process(function)["contexts"]["trace"]
    assert trace["status"] == "internal_error"
    assert event["contexts"]["trace"]["trace_id"] == trace["trace_id"]
    assert event["contexts"]["trace"]["span_id"] == trace["span_id"]


@pytest.mark.parametrize("serial", [False, True])
def test_the_line_in_the_log_is_no_event_more_by_itself(
    init: Callable[..., Kept], settings: Any, serial: bool
) -> None:
    sent = init(integrations=[LoggingIntegration()])  # nothing finds doubles
    settings.CQ_SERIAL = serial
    handle = breaks.delay()
    if not serial:
        run(handle)

    (event,) = sent.errors
    assert event["exception"]["values"][0]["mechanism"]["type"] == "cq"


def test_an_attempt_that_is_tried_again_is_no_event(sent: Kept) -> None:
    handle = breaks_twice.delay()

    assert run(handle).status == Status.RETRY
    assert sent.errors == []

    Task.objects.update(status=Status.QUEUED, run_after=None)
    assert run(handle).status == Status.FAILURE
    (event,) = sent.errors
    assert exceptions(event) == [("ValueError", "attempt 2")]
    assert len(sent.transactions) == 2


def test_one_that_is_put_off_is_no_event_and_no_error_in_its_trace(sent: Kept) -> None:
    assert run(later.delay()).status == Status.RETRY

    assert sent.errors == []
    assert sent.process(later)["contexts"]["trace"]["status"] == "unavailable"


def test_one_that_was_put_off_beyond_its_end_is_no_event(sent: Kept) -> None:
    handle = later.using(expires=timedelta(seconds=30)).delay()

    assert run(handle).status == Status.EXPIRED
    assert sent.errors == []


def test_who_gives_up_is_one_event_at_once(sent: Kept) -> None:
    assert run(gives_up.delay()).status == Status.FAILURE

    (event,) = sent.errors
    assert exceptions(event) == [("GiveUp", "no such order")]


def test_a_timeout_is_one_event_and_says_so(sent: Kept) -> None:
    run(takes_too_long.delay())

    (event,) = sent.errors
    assert exceptions(event)[-1][0] == "TaskTimeout"


def test_a_result_that_cannot_be_stored_is_one_event(sent: Kept) -> None:
    assert run(returns_what_cannot_be_stored.delay()).status == Status.FAILURE

    (event,) = sent.errors
    assert event["transaction"] == returns_what_cannot_be_stored.name


def test_a_revoked_run_is_no_event(sent: Kept) -> None:
    handle = breaks_beside.delay()
    claimed = claim(handle)
    handle.revoke()

    sync_runner.execute(claimed)

    assert fresh(handle).status == Status.REVOKED
    assert sent.errors == []


def test_an_error_of_a_subtask_is_not_one_of_its_parent_too(sent: Kept) -> None:
    handle = begins_one_that_breaks.delay()
    run_all()

    assert fresh(handle).status == Status.INCOMPLETE
    (event,) = sent.errors
    assert event["transaction"] == breaks.name
    assert event["contexts"]["cq"]["root"] == str(handle.pk)


def test_an_errorback_that_fails_is_an_event_of_its_own(sent: Kept) -> None:
    handle = breaks.delay()
    handle.errorback(tidies)
    run_all()

    assert [event["transaction"] for event in sent.errors] == [
        breaks.name,
        tidies.name,
    ]
    traces = {event["contexts"]["trace"]["trace_id"] for event in sent.errors}
    assert len(traces) == 1


def test_a_task_of_django_is_alike(sent: Kept, settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "cq.backends.CQBackend"}}
    decorate = import_module(DjangoTask.__module__).task
    decorate(of_django).enqueue(3)
    run_all()

    (event,) = sent.errors
    assert exceptions(event) == [("ValueError", "broken by 3")]
    assert event["transaction"].endswith("of_django")


def test_a_serial_run_is_an_event_where_nobody_gets_the_exception(
    sent: Kept, settings: Any
) -> None:
    with pytest.raises(ValueError, match="broken"):
        breaks()
    assert sent.errors == []

    settings.CQ_SERIAL = True
    breaks.delay()
    (event,) = sent.errors
    assert event["transaction"] == breaks.name


def test_what_no_run_is_around_is_an_event_without_what_the_worker_did(
    sent: Kept,
) -> None:
    handle = fine.delay()
    Task.objects.update(name="shop.tasks.gone")
    logging.getLogger("shop").info("of another task")

    assert run(handle).status == Status.FAILURE
    (event,) = sent.errors
    assert event["transaction"] == "shop.tasks.gone"
    assert exceptions(event)[0][0] == "UnknownTask"
    assert event["tags"]["task_id"] == str(handle.pk)
    assert messages(event) == []


def test_a_task_that_is_lost_is_an_event(sent: Kept) -> None:
    run(fine.delay())
    handle = fine.using(on_lost="fail").delay()
    claim(handle)
    rescue.rescue("default", 77, "the worker died")

    assert fresh(handle).status == Status.LOST
    (event,) = sent.errors
    assert event["transaction"] == fine.name
    assert "the worker died" in event["logentry"]["formatted"]
    assert event["tags"]["task_id"] == str(handle.pk)


# --- scopes ---------------------------------------------------------------------------

beside = threading.Barrier(2)


@task(atomic=False)
def tells(cqt: Any, who: str) -> None:
    sentry_sdk.add_breadcrumb(message=f"{who} began")
    sentry_sdk.set_tag("who", who)
    beside.wait(20)
    raise ValueError(who)


arrived: list[asyncio.Event] = []


@task(atomic=False)
async def tells_on_loop(cqt: Any, who: str) -> None:
    sentry_sdk.add_breadcrumb(message=f"{who} began")
    sentry_sdk.set_tag("who", who)
    arrived.append(asyncio.Event())
    while len(arrived) < 2:
        await asyncio.sleep(0)
    raise ValueError(who)


def run_on_threads(*handles: Task) -> None:
    claimed = [claim(handle) for handle in handles]
    with ThreadPoolExecutor(2) as threads:
        list(
            threads.map(
                lambda one: _and_close(sync_runner.execute, (one,)),
                claimed,
            )
        )


@pytest.mark.parametrize(
    ("function", "drive"), [(tells, run_on_threads), (tells_on_loop, run_on_a_loop)]
)
def test_tasks_beside_each_other_have_scopes_of_their_own(
    sent: Kept, function: Any, drive: Any
) -> None:
    arrived.clear()
    beside.reset()
    logging.getLogger("cq.heartbeat").warning("the worker is slow")

    drive(function.delay("a"), function.delay("b"))

    found = {event["tags"]["who"]: messages(event) for event in sent.errors}
    assert found == {"a": ["a began"], "b": ["b began"]}


def test_a_run_leaves_nothing_in_the_scope_around_it(sent: Kept) -> None:
    run(breaks.delay())
    sentry_sdk.capture_message("behind it")

    event = sent.errors[-1]
    assert event["message"] == "behind it"
    assert not event.get("tags")
    assert event.get("transaction") is None
    assert "cq" not in event["contexts"]


# --- traces ---------------------------------------------------------------------------


def test_one_trace_goes_from_the_caller_to_a_subtask(sent: Kept) -> None:
    with sentry_sdk.start_transaction(op="http.server", name="/order/") as view:
        handle = begins.delay()
    run_all()

    first, second = sent.process(begins), sent.process(fine)
    trace = first["contexts"]["trace"]
    assert trace["op"] == "queue.process"
    assert trace["origin"] == "auto.queue.cq"
    assert trace["trace_id"] == view.trace_id
    (sent_by,) = [
        span
        for t in sent.transactions
        for span in t["spans"]
        if span["parent_span_id"] == view.span_id
    ]
    assert trace["parent_span_id"] == sent_by["span_id"]
    below = second["contexts"]["trace"]
    assert below["trace_id"] == view.trace_id
    (sent_by,) = first["spans"]
    assert sent_by["parent_span_id"] == trace["span_id"]
    assert below["parent_span_id"] == sent_by["span_id"]
    assert trace["data"]["messaging.message.id"] == str(handle.pk)


def test_a_retry_is_in_the_trace_of_the_first_attempt(sent: Kept) -> None:
    handle = breaks_twice.delay()
    run(handle)
    Task.objects.update(status=Status.QUEUED, run_after=None)
    run(handle)

    first, second = (one["contexts"]["trace"] for one in sent.transactions)
    assert first["trace_id"] == second["trace_id"]
    assert [
        one["data"]["messaging.message.retry.count"] for one in (first, second)
    ] == [0, 1]


def test_the_recording_of_a_task_is_a_span(sent: Kept) -> None:
    with sentry_sdk.start_transaction(op="http.server", name="/order/"):
        handle = fine.using(queue="mail").delay()

    (view,) = sent.transactions
    (span,) = view["spans"]
    assert (span["op"], span["description"]) == ("queue.publish", fine.name)
    assert span["data"]["messaging.message.id"] == str(handle.pk)
    assert span["data"]["messaging.destination.name"] == "mail"


def test_a_call_that_is_rolled_back_leaves_no_span(sent: Kept) -> None:
    with sentry_sdk.start_transaction(op="http.server", name="/order/"):
        with transaction.atomic():
            fine.delay()
            transaction.set_rollback(True)
        fine.delay_many([() for _ in range(3)])

    (view,) = sent.transactions
    (span,) = view["spans"]
    assert span["data"]["messaging.batch.message_count"] == 3


def test_the_queue_s_figures_stand_in_the_transaction(sent: Kept) -> None:
    handle = fine.using(queue="mail").delay()
    began = timezone.now()
    Task.objects.update(submitted=began - timedelta(seconds=3))
    run(handle, now=began)

    data = sent.process(fine)["contexts"]["trace"]["data"]
    assert data["messaging.message.receive.latency"] == 3000
    assert data["messaging.destination.name"] == "mail"
    assert data["messaging.message.retry.count"] == 0
    assert data["messaging.system"] == "cq"


def test_the_time_in_the_queue_begins_when_a_task_is_ready(sent: Kept) -> None:
    first = fine.delay()
    second = first.chain(breaks)
    Task.objects.update(submitted=timezone.now() - timedelta(hours=3))
    run(first)
    began = fresh(second).ready
    assert began is not None
    run(second, now=began + timedelta(seconds=2))

    data = sent.process(breaks)["contexts"]["trace"]["data"]
    assert data["messaging.message.receive.latency"] == 2000


_TRACE = f"{'a' * 32}-{'b' * 16}-1"


@pytest.mark.parametrize(
    "value",
    [
        7,
        [1],
        {"sentry-trace": 3},
        {"sentry-trace": "x"},
        {
            "sentry-trace": _TRACE,
            "baggage": "a=b=c;;,%zz,sentry-=,=,sentry-sample_rate=x",
        },
        {"sentry-trace": "x" * 1500, "baggage": "sentry-trace_id=" + "," * 1500},
    ],
)
def test_a_forged_trace_harms_nothing(sent: Kept, value: Any) -> None:
    handle = fine.using(context={"sentry": value}).delay()

    assert run(handle).status == Status.COMPLETE
    assert len(sent.process(fine)["contexts"]["trace"]["trace_id"]) == 32


# --- what is secret -------------------------------------------------------------------


@task(redact=("card",))
def pays(cqt: Any, card: str, amount: int) -> None:
    holder = card
    raise ValueError(f"no cover for {amount} {len(holder)}")


@task
def catches(cqt: Any, what: str) -> None:
    logging.getLogger("shop").error("odd", stack_info=True)


def _frames(event: Any) -> list[Any]:
    return [
        frame
        for value in event["exception"]["values"]
        for frame in value["stacktrace"]["frames"]
    ]


def test_arguments_are_not_told_unless_sentry_may_have_them(sent: Kept) -> None:
    run(pays.delay("4111", 9))

    assert "args" not in sent.errors[0]["contexts"]["cq"]


@pytest.mark.parametrize(
    "option", [{"send_default_pii": True}, {"data_collection": {"queues": True}}]
)
@pytest.mark.parametrize("serial", [False, True])
def test_row_s11_sentry_is_told_arguments_without_secrets(
    init: Callable[..., Kept], settings: Any, option: Any, serial: bool
) -> None:
    settings.CQ_SERIAL = serial
    with warnings.catch_warnings():
        # Newer versions of the library have another word for it.
        warnings.simplefilter("ignore", DeprecationWarning)
        sent = init(**option)
    handle = pays.delay("4111", 9)
    if not serial:
        run(handle)

    (event,) = sent.errors
    assert event["contexts"]["cq"]["args"] == ["********", 9]
    variables = [f["vars"] for f in _frames(event) if f["function"] == "pays"]
    assert variables[0]["card"] == "********"


@task
def spoils(cqt: Any, text: str) -> None:
    vars(cqt)["args"] = text


@pytest.mark.parametrize("text", ["[1", "[" * 5000, f'["{"x" * 40_000}"]', "7"])
def test_arguments_that_cannot_be_shown_are_no_error_of_the_task(
    init: Callable[..., Kept], text: str
) -> None:
    sent = init(data_collection={"queues": True})
    ended = run(spoils.delay(text))

    assert ended.status == Status.COMPLETE
    assert "args" in sent.process(spoils)["contexts"]["cq"]


@pytest.mark.parametrize("serial", [False, True])
def test_row_s11_the_frames_of_cq_tell_sentry_no_arguments(
    sent: Kept, settings: Any, serial: bool
) -> None:
    settings.CQ_SERIAL = serial
    handle = breaks.delay("hunter2")
    if not serial:
        run(handle)

    (event,) = sent.errors
    for frame in _frames(event):
        if frame["module"].startswith("cq."):
            assert "vars" not in frame
    # Also where a task sends by itself what it has caught.
    sent.items.clear()
    again = catches.delay("hunter2")
    if not serial:
        run(again)
    (event,) = sent.errors
    for value in event["threads"]["values"]:
        for frame in value["stacktrace"]["frames"]:
            assert frame["module"].partition(".")[0] != "cq" or "vars" not in frame


def test_the_text_of_an_error_is_told_as_cq_redact_text_has_it(
    sent: Kept, settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.without_numbers"
    run(breaks.delay("card 4111"))

    assert exceptions(sent.errors[0]) == [("ValueError", "card ****")]


def without_numbers(name: str, text: str) -> str:
    return text.replace("4111", "****")


def test_where_spans_are_streamed_errors_are_told_all_the_same(
    init: Callable[..., Kept],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent = init(trace_lifecycle="stream")
        handle = breaks.delay()
        assert run(handle).status == Status.FAILURE

    (event,) = sent.errors
    assert (event["transaction"], len(exceptions(event))) == (breaks.name, 1)


# --- what it costs, and what is missing -----------------------------------------------


def test_without_a_dsn_nothing_is_made_or_stored() -> None:
    assert not sentry_sdk.get_client().is_active()
    handle = fine.delay()

    assert run(handle).status == Status.COMPLETE
    assert handle.options is None
    assert context.capture() is None


def test_without_a_dsn_a_run_has_no_scope_of_its_own() -> None:
    scopes: list[Any] = []
    middleware(lambda run: scopes.append(sentry_sdk.get_isolation_scope()), None)

    assert scopes == [sentry_sdk.get_isolation_scope()]


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['sentry_sdk'] = None\n"
        "sys.modules['structlog'] = None; sys.modules['structlog.contextvars'] = None\n"
        "from cq.hooks.middleware import problem\n"
        "print(problem('cq.contrib.sentry.middleware'))\n"
        "print(problem('cq.contrib.structlog.middleware'))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    first, second = found.stdout.splitlines()
    assert "pip install cq-core[sentry]" in first
    assert "pip install cq-core[structlog]" in second


def test_both_names_lead_to_what_the_settings_want() -> None:
    assert problem("cq.contrib.sentry.middleware") is None
    assert problem("cq.contrib.structlog.middleware") is None
    assert problems(["cq.contrib.sentry.context"]) == []
