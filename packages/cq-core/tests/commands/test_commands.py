"""``manage.py cq VERB``: what people and programs see, and what goes wrong clearly."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sample_tasks
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from driving import fresh, run

from cq import Limit, RetryLater, group, task
from cq.cli.asker import asked_by, login
from cq.cli.output import Output
from cq.commands import logs as logs_module
from cq.commands.listing import _took
from cq.commands.logs import followed
from cq.conf import SETTINGS
from cq.models import Task, Worker
from cq.status import Status
from cq.workers.claim_order import claim_next
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_record(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.delenv("NO_COLOR", raising=False)


def cq(*args: str) -> str:
    out = io.StringIO()
    call_command("cq", *args, stdout=out)
    return out.getvalue()


def cq_json(*args: str) -> Any:
    return json.loads(cq(*args, "--format", "json"))


@task
def says(cqt: Any, *lines: str) -> None:
    for line in lines:
        cqt.log(line)


# --- run ------------------------------------------------------------------------------


def test_run_runs_what_is_queued() -> None:
    sample_tasks.square.delay(2)
    sample_tasks.square.using(queue="b").delay(3)

    assert cq_json("run", "--queues", " b ,") == {"run": 1}
    assert cq("run") == "tasks run: 1\n"
    assert cq("run") == "tasks run: 0\n"


@task
def tells_the_process_to_stop(cqt: Any, number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_after_the_task_that_runs(number: int) -> None:
    before = signal.getsignal(number)
    stopper = tells_the_process_to_stop.delay(int(number))
    left = sample_tasks.square.delay(2)

    assert cq("run", "--loop") == "tasks run: 1\n"

    stopper.refresh_from_db()
    left.refresh_from_db()
    assert (stopper.status, left.status) == (Status.COMPLETE, Status.QUEUED)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("text", ["", " , "])
def test_run_needs_a_queue_where_it_is_asked_for_some(text: str) -> None:
    with pytest.raises(CommandError, match=r"--queues is '.*', but must name a queue"):
        cq("run", "--queues", text)


@pytest.mark.parametrize(
    "args",
    [("list", "--name", "a\udcff"), ("run", "--queues", "\udcff"), ("show", "\udcff")],
)
def test_an_argument_that_is_no_text_is_an_error(args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"'a?\\udcff', which is no UTF-8 text"):
        cq(*args)


def test_run_knows_the_queues_that_are_allowed(settings: Any) -> None:
    settings.CQ_QUEUES = ["a", "b"]

    with pytest.raises(CommandError, match=r"--queues: queue 'c' is not in CQ_QUEUES"):
        cq("run", "--queues", "a,c")


# --- status ---------------------------------------------------------------------------


def test_status_counts_tasks_queues_and_workers() -> None:
    lease = Lease("default", "worker", queues=["a"], slots=3)
    lease.register()
    try:
        for queue in "aab":
            sample_tasks.square.using(queue=queue).delay(1)
        claim_next("default", lease.worker, 1)

        found = cq_json("status")
        text = cq("status")
    finally:
        lease.close()

    assert set(found) == {"statuses", "queues", "workers"}
    assert list(found["statuses"]) == [str(s) for s in Status]
    assert {s: n for s, n in found["statuses"].items() if n} == {
        "QUEUED": 2,
        "RUNNING": 1,
    }
    assert [(q["queue"], q["queued"]) for q in found["queues"]] == [("a", 1), ("b", 1)]
    assert all(q["oldest_seconds"] >= 0 for q in found["queues"])
    [worker] = found["workers"]
    assert (worker["id"], worker["kind"]) == (str(lease.worker), "worker")
    assert (worker["pid"], worker["slots"], worker["queues"]) == (os.getpid(), 3, ["a"])
    assert "QUEUED   2" in text
    assert str(lease.worker) in text


def test_status_asks_for_workers_once() -> None:
    with CaptureQueriesContext(connection) as queries:
        cq("status")
    assert sum("cq_workers" in query["sql"] for query in queries) == 1


def test_status_says_so_where_the_only_worker_is_dead() -> None:
    long_ago = timezone.now() - timedelta(days=1)
    Worker.objects.create(
        id=7, kind="worker", host="a", pid=1, started=long_ago, last_seen=long_ago
    )
    assert "no worker is alive" in cq("status")


def test_status_of_an_empty_table() -> None:
    text = cq("status")

    assert "nothing is queued" in text
    assert "no worker is alive; start one with `manage.py cqworker`" in text


def test_without_a_verb_it_is_status() -> None:
    assert cq() == cq("status")
    assert cq("--no-color") == cq("status")


# --- list -----------------------------------------------------------------------------


def test_list_shows_the_latest_first() -> None:
    tasks = [sample_tasks.square.delay(n) for n in range(3)]

    rows = cq_json("list", "--limit", "2")

    assert [row["id"] for row in rows] == [str(t.pk) for t in reversed(tasks[1:])]
    assert set(rows[0]) == {
        "id",
        "name",
        "queue",
        "tags",
        "priority",
        "status",
        "attempts",
        "losses",
        "submitted",
        "ready",
        "run_after",
        "expires",
        "started",
        "finished",
        "parent",
        "root",
        "cause",
        "error",
    }
    header, *lines = cq("list").splitlines()
    assert header.split() == [
        "ID",
        "STATUS",
        "NAME",
        "QUEUE",
        "PRIORITY",
        "ATTEMPTS",
        "AGE",
        "TOOK",
    ]
    for line, handle in zip(lines, reversed(tasks), strict=True):
        assert str(handle.pk).startswith(line.split()[0])
        assert cq_json("show", line.split()[0])["id"] == str(handle.pk)


def ids_of(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[1:]]


def test_list_shows_as_much_of_an_id_as_no_other_of_them_has() -> None:
    first = sample_tasks.square.delay(1)
    # Of one millisecond, and of a later one.
    beside = UUID(int=first.pk.int + (1 << 42))
    later = UUID(int=first.pk.int + (1 << 80))
    for pk in (beside, later):
        made = sample_tasks.square.delay(1)
        Task.objects.filter(pk=made.pk).update(id=pk, root=pk)

    shown = ids_of(cq("list"))
    assert len({len(text) for text in shown}) == 1
    assert [str(pk)[: len(shown[0])] for pk in (later, beside, first.pk)] == shown
    assert len(set(shown)) == 3
    assert str(beside)[: len(shown[0]) - 1] == str(first.pk)[: len(shown[0]) - 1]
    # The time, where that is all it takes: what comes later has another.
    Task.objects.filter(pk=beside).delete()
    assert ids_of(cq("list")) == [str(later)[:13], str(first.pk)[:13]]
    with pytest.raises(CommandError, match="more than one task's id") as caught:
        cq("show", str(first.pk)[:6])
    assert f"\n  {first.pk}  {first.name}\n  {later}" in str(caught.value)


def test_list_says_how_old_each_is_and_how_long_it_took() -> None:
    now = timezone.now()
    for status, started, finished, said in (
        ("COMPLETE", 200, 110, "1 min 30 s"),
        ("RUNNING", 7200, None, "2 h"),
        ("QUEUED", None, None, "-"),
    ):
        handle = sample_tasks.square.delay(2)
        Task.objects.filter(pk=handle.pk).update(
            submitted=now - timedelta(seconds=7 * 3600 + 600)
        )
        row = Task(status=status)
        row.started = started and now - timedelta(seconds=started)
        row.finished = finished and now - timedelta(seconds=finished)
        assert (_took(row, now) or "-") == said
        assert "  7 h ago  " in cq("list", "--limit", "1")


def test_list_tells_parents_and_with_tree_draws_subtasks_below_them() -> None:
    other = sample_tasks.square.delay(1)
    assert "PARENT" not in cq("list")
    parent = sample_tasks.merge_squares.delay(2)
    cq("run")
    subtasks = [str(row.pk) for row in parent.subtasks.order_by("pk")]

    head, *lines = cq("list").splitlines()
    assert head.endswith("  PARENT")
    assert [ids_of(cq("list"))[-2]] * 3 == [line.split()[-1] for line in lines[:3]]

    rows = cq_json("list", "--tree")
    assert [r["id"] for r in rows] == [str(parent.pk), *subtasks, str(other.pk)]
    _, *lines = cq("list", "--tree").splitlines()
    at = lines[0].index(parent.name)
    names = [line[at : line.index("  default")].rstrip() for line in lines]
    assert names == [parent.name, *[f"  {r['name']}" for r in rows[1:4]], other.name]
    # Whose parent is not among them stands by itself.
    alone = cq_json("list", "--tree", "--limit", "2")
    assert [row["id"] for row in alone] == subtasks[:0:-1]


def test_list_says_because_of_which_task_others_did_not_succeed() -> None:
    failing = sample_tasks.fails.delay()
    follower = failing.chain(sample_tasks.square, 3)
    sample_tasks.square.delay(3)
    assert "BECAUSE" not in cq("list", "--status", "QUEUED")
    run(failing)

    found = {row["id"]: row["cause"] for row in cq_json("list")}
    assert (found[str(failing.pk)], found[str(follower.pk)]) == (None, str(failing.pk))
    header, _, second, third = cq("list").splitlines()
    assert header.endswith("BECAUSE OF")
    length = len(ids_of(cq("list"))[0])
    assert second.endswith(f"  {str(failing.pk)[:length]}")
    assert third.endswith("  -")


def test_list_has_the_tasks_of_a_tag() -> None:
    one = sample_tasks.square.using(tags=["order:4711", "eu"]).delay(1)
    two = sample_tasks.square.using(tags=["order:4711"]).delay(2)
    sample_tasks.square.delay(3)

    def listed(*flags: str) -> list[str]:
        return [row["id"] for row in cq_json("list", *flags)]

    assert listed("--tag", "order:4711") == [str(two.pk), str(one.pk)]
    assert listed("--tag", "order:4711", "--tag", "eu") == [str(one.pk)]
    assert listed("--tag", "order") == []
    assert cq_json("list", "--tag", "eu")[0]["tags"] == ["order:4711", "eu"]
    assert "order:4711" in cq("show", str(one.pk))
    for wrong in ("", "a" * 101):
        with pytest.raises(CommandError, match=r"--tag is .* but must be a text of 1"):
            cq("list", "--tag", wrong)
    dry = cq("revoke", "--tag", "order:4711", "--dry-run")
    assert "2" in dry
    cq("revoke", "--tag", "order:4711", "--tag", "eu")
    assert cq_json("list", "--status", "REVOKED")[0]["id"] == str(one.pk)


def test_list_filters() -> None:
    one = sample_tasks.square.using(queue="a").delay(1)
    two = sample_tasks.merge.using(queue="b").delay([])
    three = sample_tasks.square.using(queue="c").delay(1)
    three.revoke()

    def listed(*args: str) -> list[str]:
        return [row["id"] for row in cq_json("list", *args)]

    assert listed("--queue", "a,b") == [str(two.pk), str(one.pk)]
    assert listed("--name", one.name) == [str(three.pk), str(one.pk)]
    assert listed("--status", "revoked,failure") == [str(three.pk)]
    assert listed("--name", one.name, "--queue", "b") == []
    assert cq("list", "--name", "none") == "no such tasks\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--status", "DONE"], "--status is 'DONE', but must be of PENDING, QUEUED"),
        (["--status", ","], "--status is ',', but must be of"),
        (["--limit", "0"], "--limit is 0, but must be 1 or more"),
        (["--limit", "-3"], "--limit is -3, but must be 1 or more"),
    ],
)
def test_list_says_what_is_wrong(args: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        cq("list", *args)


# --- show -----------------------------------------------------------------------------


def test_show_tells_everything_about_a_task() -> None:
    shown = sample_tasks.merge_squares.delay(2)
    cq("run")

    found = cq_json("show", str(shown.pk))

    assert found["id"] == str(shown.pk)
    assert found["status"] == "COMPLETE"
    assert found["args"] == [2]
    assert found["kwargs"] == {}
    assert found["result"] == [0, 1]
    assert found["subtasks"] == {"COMPLETE": 3}
    assert found["attempts"] == 1
    assert found["error"] is None
    assert (found["limits"], found["fair"]) == ([], None)
    text = cq("show", str(shown.pk))
    assert "\nresult     [0, 1]\n" in text
    assert "traceback" not in text


def test_show_tells_by_which_keys_a_task_is_limited() -> None:
    limits = [
        Limit(concurrency=2, key="a"),
        Limit(rate="1/s", key="a"),
        Limit(rate="5/m"),
    ]
    made = sample_tasks.square.using(limits=limits, fair="acme").delay(2)

    found = cq_json("show", str(made.pk))
    assert found["limits"] == ["a", sample_tasks.square.name]
    assert found["fair"] == "acme"
    text = cq("show", str(made.pk))
    assert f'["a", "{sample_tasks.square.name}"]' in text


def test_show_says_when_a_task_is_tried_again() -> None:
    @task("commands.later")
    def later(cqt: Any) -> None:
        raise RetryLater(3600)

    handle = later.delay()
    cq("run")

    assert re.search(r"\nagain_in +(1 h|59 min( \d+ s)?)\n", cq("show", str(handle.pk)))
    assert "again_in" not in cq_json("show", str(handle.pk))
    assert "again_in" not in cq("show", str(sample_tasks.square.delay(2).pk))


def test_show_gives_the_traceback_and_what_a_task_waits_for() -> None:
    failed = sample_tasks.fails.delay("out of order")
    follower = failed.chain(sample_tasks.square, 2)
    cq("run")

    found = cq_json("show", str(failed.pk))
    assert found["error"] == "out of order"
    assert found["exception"] == "ValueError"
    assert found["traceback"].endswith("ValueError: out of order\n")
    assert "\nTraceback (most recent call last):\n" in cq("show", str(failed.pk))
    found = cq_json("show", str(follower.pk))
    assert found["depends_on"] == [str(failed.pk)]
    assert found["status"] == "INCOMPLETE"


def test_show_lists_the_tries_and_what_was_taken_back() -> None:
    failed = sample_tasks.fails.delay("out of order\nand so on")
    cq("run")
    cq("retry", str(failed.pk))
    cq("run")

    history = cq_json("show", str(failed.pk))["history"]
    assert [(a["number"], a["outcome"], a["by"]) for a in history] == [
        (2, "failed", None),
        (1, "taken back", asked_by("cq retry")),
        (1, "failed", None),
    ]
    assert {a["error"] for a in history} == {"out of order\nand so on"}
    assert all("ValueError: out of order" in a["traceback"] for a in history)
    here = f"{socket.gethostname()}:{os.getpid()}"
    assert {a["worker"] for a in history} == {here}
    text = cq("show", str(failed.pk))
    table = text[text.index("\nTRY ") :]
    assert table.count("ValueError: out of order\n") == 3
    assert "(cq retry): ValueError: out of order\n" in table
    assert table.count(here) == 3
    assert "TRY" not in cq("show", str(sample_tasks.square.delay(2).pk))


def test_the_texts_of_tries_are_redacted_as_others_are(settings: Any) -> None:
    @task("commands.tells")
    def tells(cqt: Any) -> None:
        raise ValueError("out of " + "order")

    settings.CQ_REDACT_TEXT = f"{__name__}.without_orders"
    failed = tells.delay()
    cq("run")
    cq("retry", str(failed.pk))
    for found in (
        cq("show", str(failed.pk)),
        cq("show", str(failed.pk), "--format", "json"),
    ):
        assert "out of order" not in found
        assert "out of ***" in found
    assert "out of order" in cq("show", str(failed.pk), "--reveal")


def without_orders(name: str, text: str) -> str:
    return text.replace("order", "***")


def test_many_that_are_retried_say_by_whom() -> None:
    failed = sample_tasks.fails.delay()
    cq("run")
    cq("retry", "--status", "FAILURE")
    assert failed.history.first().by == asked_by("cq retry")


ME = f"ada@{socket.gethostname()}"


@pytest.fixture
def told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    monkeypatch.setenv("LOGNAME", "ada")
    caplog.set_level(logging.INFO, logger="cq")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "cq"]


@pytest.mark.parametrize("by_flags", [False, True])
def test_who_revokes_what_runs_stands_in_its_history(
    by_flags: bool, told: Callable[[], list[str]]
) -> None:
    lease = Lease("default", "worker", queues=None, slots=1)
    lease.register()
    handles = [sample_tasks.square.delay(n) for n in range(2)]
    claim_next("default", lease.worker, 1)
    try:
        which = ["--queue", "default"] if by_flags else [str(h.pk) for h in handles]
        cq("revoke", *which, "--reason", "wrong file")
    finally:
        lease.close()
    [attempt] = [attempt for h in handles for attempt in h.history]
    assert (attempt.by, attempt.reason) == (f"{ME} (cq revoke)", "wrong file")
    assert {fresh(handle).error for handle in handles} == {"wrong file"}
    assert told() == [f"{ME} (cq revoke): tasks: 2"]
    # It changed nothing, which is no news.
    with contextlib.suppress(CommandError):
        cq("revoke", *which)
    assert len(told()) == 1


@pytest.mark.parametrize("by_flags", [False, True])
def test_who_retries_and_prunes_is_logged(
    by_flags: bool, told: Callable[[], list[str]]
) -> None:
    failed = [sample_tasks.fails.delay() for _ in range(2)]
    cq("run")
    which = ["--status", "FAILURE"] if by_flags else [str(h.pk) for h in failed]
    cq("retry", *which)
    assert told() == [f"{ME} (cq retry): tasks: 2"]
    assert failed[0].history.first().by == f"{ME} (cq retry)"
    cq("run")
    Task.objects.update(finished=timezone.now() - timedelta(days=9999))
    cq("prune")
    assert told()[1:] == [f"{ME} (cq prune): tasks deleted: 2"]


def test_a_login_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "a\n\x1b[2J\udcff" + "x" * 500)
    found = asked_by("cq retry")
    assert found.isprintable()
    assert found.startswith("a\\n\\x1b[2J\\udcffx")
    # An operation takes no more, see LONGEST_ASKER.
    assert len(found) <= 200


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert login() == str(os.getuid())


def test_arguments_are_shown_with_the_types_that_they_are_stored_with() -> None:
    moment = timezone.now()
    shown = sample_tasks.merge.delay([moment])
    cq("run")

    found = cq_json("show", str(shown.pk))

    assert found["args"] == json.loads(Task.objects.get().__dict__["args"])
    assert found["result"] == found["args"][0]
    assert moment.isoformat()[:19] in json.dumps(found["args"])


def test_a_row_that_cannot_be_read_is_shown_all_the_same() -> None:
    shown = sample_tasks.square.delay(1)
    cq("run")
    Task.objects.update(args=raw("{no"), result=raw("{no"))

    found = cq_json("show", str(shown.pk))

    assert found["args"] == "{no"
    assert found["result"].startswith("<cannot be read: ")


def raw(text: str) -> Any:
    from cq import codec

    return codec.Encoded(text)


# --- ids ------------------------------------------------------------------------------


def test_a_beginning_of_an_id_will_do() -> None:
    one = sample_tasks.square.delay(1)

    for text in (str(one.pk)[:9], one.pk.hex[:10], f" {str(one.pk).upper()} ", "0"):
        assert cq_json("show", text)["id"] == str(one.pk)


def test_a_beginning_that_fits_several_names_them() -> None:
    one, *others = (sample_tasks.square.delay(n) for n in range(7))

    with pytest.raises(CommandError) as caught:
        cq("show", "0")

    message = str(caught.value)
    assert message.startswith("'0' is the beginning of more than one task's id; give")
    assert f"{one.pk}  {one.name}" in message
    assert message.endswith("...")
    assert str(others[-1].pk) not in message


@pytest.mark.parametrize("text", ["", " ", "xyz", "0" * 33, "%", "1_0", "\u0663"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is no task id, nor the beginning of one"):
        cq("show", text)


def test_an_id_that_nobody_has_is_refused() -> None:
    with pytest.raises(CommandError, match="no task's id begins with 'ff'"):
        cq("show", "ff")


# --- logs -----------------------------------------------------------------------------


def test_logs_are_written_line_by_line() -> None:
    speaker = says.delay("one", "two")
    cq("run")

    lines = cq("logs", str(speaker.pk)).splitlines()
    objects = [
        json.loads(line)
        for line in cq("logs", str(speaker.pk), "--format", "json").splitlines()
    ]

    assert [line.split()[2:] for line in lines] == [["INFO", "one"], ["INFO", "two"]]
    assert [(o["number"], o["level"], o["message"]) for o in objects] == [
        (1, "INFO", "one"),
        (2, "INFO", "two"),
    ]
    assert set(objects[0]) == {"number", "time", "level", "task", "attempt", "message"}


def test_a_log_is_followed_until_the_task_has_settled() -> None:
    speaker = says.delay("from within")
    seen: list[str] = []
    steps = [lambda: speaker.log("from outside"), lambda: cq("run")]

    def pause(seconds: float) -> None:
        assert seconds == logs_module.SECONDS_BETWEEN_LOOKS
        steps.pop(0)()

    for line in followed(speaker, pause):
        seen.append(line.message)

    assert seen == ["from outside", "from within"]
    assert steps == []


def test_following_ends_with_a_task_that_is_gone() -> None:
    gone = says.delay()

    assert list(followed(gone, lambda seconds: Task.objects.all().delete())) == []


def test_a_settled_log_is_followed_to_its_end_at_once() -> None:
    speaker = says.delay("one")
    cq("run")

    assert "one" in cq("logs", "-f", str(speaker.pk))


def test_the_log_of_a_failed_task_without_lines_is_its_error(settings: Any) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.hides_numbers"
    failed = sample_tasks.fails.delay("card 4711\nand more")
    assert cq("logs", str(failed.pk)) == ""
    cq("run")

    for follow in ((), ("-f",)):
        assert cq("logs", *follow, str(failed.pk)) == (
            "no log lines; the task is FAILURE: ValueError: card ****\n"
            f"`manage.py cq show {failed.pk}` shows the traceback\n"
        )
    assert "ValueError: card 4711\n" in cq("logs", "--reveal", str(failed.pk))
    assert cq("logs", "--format", "json", str(failed.pk)) == ""


def test_the_log_of_a_task_without_lines_that_was_revoked_says_so() -> None:
    revoked = sample_tasks.square.delay(1)
    revoked.revoke()
    assert cq("logs", str(revoked.pk)) == (
        "no log lines; the task is REVOKED: It was revoked.\n"
    )
    done = sample_tasks.square.delay(1)
    cq("run")
    assert cq("logs", str(done.pk)) == ""


def hides_numbers(name: str, text: str) -> str:
    return text.replace("4711", "****")


# --- retry, revoke, prune -------------------------------------------------------------


def test_retry_queues_finished_tasks_again() -> None:
    tasks = [sample_tasks.fails.delay() for _ in range(2)]
    cq("run")

    rows = cq_json("retry", str(tasks[0].pk), str(tasks[1].pk), str(tasks[0].pk))

    assert [(row["id"], row["status"]) for row in rows] == [
        (str(t.pk), "QUEUED") for t in tasks
    ]


def test_what_cannot_be_retried_is_said_and_the_others_are() -> None:
    failed = sample_tasks.fails.delay()
    cq("run")
    queued = sample_tasks.square.delay(1)

    with pytest.raises(CommandError) as caught:
        cq("retry", str(queued.pk), str(failed.pk))

    assert str(caught.value) == (
        "1 of 2 could not be changed:\n"
        f"  {queued.name} {queued.pk} is QUEUED; only a finished task can be retried"
    )
    assert caught.value.returncode == 1
    failed.refresh_from_db()
    assert failed.status == Status.QUEUED


def test_a_wrong_id_changes_nothing() -> None:
    one = sample_tasks.square.delay(1)

    with pytest.raises(CommandError, match="'zz' is no task id"):
        cq("revoke", str(one.pk), "zz")

    one.refresh_from_db()
    assert one.status == Status.QUEUED


def test_revoke_withdraws_tasks() -> None:
    one, two = sample_tasks.square.delay(1), sample_tasks.square.delay(2)

    text = cq("revoke", str(one.pk))
    [row] = cq_json("revoke", str(two.pk), "--reason", "no need")

    assert "REVOKED" in text
    assert row == {
        "id": str(two.pk),
        "name": two.name,
        "status": "REVOKED",
        "refused": None,
    }
    two.refresh_from_db()
    assert two.error == "no need"
    with pytest.raises(CommandError, match="is REVOKED already; nothing to revoke"):
        cq("revoke", str(one.pk))


def test_all_that_failed_under_a_name_are_queued_again_by_flags() -> None:
    failed = [sample_tasks.fails.delay() for _ in range(2)]
    other = sample_tasks.square.delay(2)
    cq("run")
    flags = ("--name", failed[0].name, "--since", "1h")

    assert cq_json("retry", *flags, "--dry-run") == {
        "dry_run": True,
        "would_change": [{"name": failed[0].name, "status": "FAILURE", "tasks": 2}],
    }
    assert "retry would take 2 tasks; nothing was changed" in cq(
        "retry", *flags, "--dry-run"
    )
    assert cq("retry", *flags) == "retry: 2 tasks\n"
    for made in [*failed, other]:
        made.refresh_from_db()
    assert [made.status for made in failed] == [Status.QUEUED] * 2
    assert other.status == Status.COMPLETE


def test_what_is_open_in_a_queue_is_withdrawn_by_flags() -> None:
    made = sample_tasks.square.using(queue="imports").delay(2)
    kept = sample_tasks.square.delay(2)

    assert cq_json("revoke", "--queue", "imports", "--reason", "no") == {
        "changed": 1,
        "refused": [],
    }
    made.refresh_from_db()
    kept.refresh_from_db()
    assert (made.status, made.error) == (Status.REVOKED, "no")
    assert kept.status == Status.QUEUED


def test_what_was_recorded_before_or_after_a_moment_is_left_out() -> None:
    sample_tasks.square.delay(2)
    after = (timezone.now() + timedelta(minutes=1)).isoformat()

    assert cq_json("revoke", "--since", after)["changed"] == 0
    assert cq_json("revoke", "--until", "5m")["changed"] == 0
    assert cq_json("revoke", "--since", "5m", "--until", after)["changed"] == 1


def test_those_that_may_not_run_again_are_told_and_the_rest_runs() -> None:
    whole = group(sample_tasks.fails.s(), sample_tasks.fails.s()).delay()
    cq("run")

    with pytest.raises(CommandError) as caught:
        cq("retry", "--status", "incomplete,failure")

    assert str(caught.value).startswith("1 could not be changed:\n  cq.group ")
    assert caught.value.returncode == 1
    assert {t.status for t in whole.subtasks.all()} == {Status.QUEUED}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["retry"], "nothing says which tasks to retry; give ids, or flags such as"),
        (["revoke", "--dry-run"], "nothing says which tasks to revoke"),
        (["retry", "--failed", "--name", "x"], "--failed looks below tasks"),
        (["retry", "00", "--name", "x"], "ids were given together with --name"),
        (["retry", "00", "--dry-run"], "ids were given together with --dry-run"),
        (["retry", "--status", "broken"], "--status is 'broken', but must be of"),
        (["retry", "--since", "yesterday"], "--since is 'yesterday', but must be"),
        (["retry", "--until", "2026-99-01"], "--until is '2026-99-01', but must be"),
        (["revoke", "--since", "99999999999d"], "--since is '99999999999d', but"),
    ],
)
def test_flags_that_choose_nothing_change_nothing(
    args: list[str], message: str
) -> None:
    with pytest.raises(CommandError) as caught:
        cq(*args)

    assert message in str(caught.value)


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    for number in range(3):
        sample_tasks.square.delay(number)

    cq("revoke", "--queue", "default")

    assert seen.getvalue() == f"\r[{'#' * 30}] 3 of 3\n"


def test_why_says_in_a_sentence_what_a_task_waits_for() -> None:
    made = sample_tasks.square.delay(2)

    assert "is QUEUED, but no worker is alive" in cq("why", str(made.pk)[:20])
    told = cq_json("why", str(made.pk))
    assert (told["id"], told["status"]) == (str(made.pk), "QUEUED")
    assert told["why"] == made.why()


def test_prune_deletes_what_is_past_its_time() -> None:
    for ttl in (10, 10, 1000):
        sample_tasks.square.using(result_ttl=ttl).delay(1)
    cq("run")
    Task.objects.update(finished=timezone.now() - timedelta(seconds=60))

    assert cq("prune") == "tasks deleted: 2\n"
    assert cq_json("prune") == {"deleted": 0}
    assert Task.objects.count() == 1


# --- settings -------------------------------------------------------------------------


def test_settings_say_what_is_in_effect_and_where_it_comes_from(settings: Any) -> None:
    settings.CQ_LEASE = 20
    settings.CQ_POLL = "soon"
    settings.CQ_QUEUES = {"b", "a"}
    settings.CQ_LIMITS = {"mail": {"rate": "5/m", "key": str}}
    settings.CQ_FAIR_WEIGHTS = len

    rows = {row["name"]: row for row in cq_json("settings")}

    assert list(rows) == [f"CQ_{name}" for name in SETTINGS]
    assert (rows["CQ_LEASE"]["value"], rows["CQ_LEASE"]["from"]) == (20, "settings")
    assert rows["CQ_LEASE"]["default"] == 15.0
    assert rows["CQ_QUEUES"]["value"] == ["a", "b"]
    # No JSON has functions.
    assert rows["CQ_LIMITS"]["value"] == {
        "mail": {"rate": "5/m", "key": "builtins:str"}
    }
    assert rows["CQ_FAIR_WEIGHTS"]["value"] == "builtins:len"
    assert rows["CQ_DRAIN"]["from"] == "default"
    assert rows["CQ_LEASE"]["problem"] is None
    assert "CQ_POLL is 'soon'" in rows["CQ_POLL"]["problem"]
    assert "CQ_POLL is 'soon'" in cq("settings")


# --- how it is shown ------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table_on_a_terminal(**kwargs: Any) -> str:
    terminal = Terminal()
    output = Output(OutputWrapper(terminal), **kwargs)
    output.table(("id", "status"), [("[red]1", "COMPLETE"), ("2\x1b[31m", "FAILURE")])
    return terminal.getvalue()


# cq-core is also tested with nothing beside it.
if find_spec("rich"):

    def test_a_terminal_gets_colours() -> None:
        text = table_on_a_terminal()

        assert "\x1b[32mCOMPLETE" in text
        assert "\x1b[31mFAILURE" in text
        # What stands in a row is neither markup nor a terminal's order.
        assert "[red]1" in text
        assert "2\\x1b[31m" in text

    def test_a_narrow_terminal_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "10")
        terminal = Terminal()

        Output(OutputWrapper(terminal)).table(("id", "name"), [("a" * 36, "b" * 200)])

        assert "a" * 36 in terminal.getvalue()
        assert "b" * 200 in terminal.getvalue()

    def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
        assert "\x1b[3" not in table_on_a_terminal(color=False)
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[3" not in table_on_a_terminal()


def test_without_rich_a_terminal_gets_plain_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)

    assert table_on_a_terminal() == (
        "ID         STATUS\n[red]1     COMPLETE\n2\\x1b[31m  FAILURE\n"
    )


def test_a_file_gets_plain_text() -> None:
    sample_tasks.square.using(queue="a\x1b[2J\nb").delay(1)

    text = cq("list")

    assert "\x1b" not in text
    assert "a\\x1b[2J\\nb" in text
    assert len(text.splitlines()) == 2


# --- the command line -----------------------------------------------------------------


def test_the_help_has_examples_and_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("cq", "--help")

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "  manage.py cq logs -f 0193f0c2\n" in text
    assert "\nexit codes:\n  0  done;" in text
    for verb in ("run", "status", "list", "show", "logs", "retry", "revoke", "prune"):
        assert f"\n    {verb} " in text


def test_django_options_may_stand_behind_the_verb() -> None:
    cq("list", "--no-color", "--verbosity", "2", "--traceback")


@pytest.mark.parametrize("args", [["lst"], ["show"], ["list", "--limit", "many"]])
def test_a_command_line_that_is_not_understood_is_refused(args: list[str]) -> None:
    with pytest.raises(CommandError):
        cq(*args)


def test_who_has_read_enough_gets_no_traceback() -> None:
    # Into a pipe that nobody reads any more, as behind `| head`.
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "django", "cq", "settings"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "settings"),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


# --- health ---------------------------------------------------------------------------


def test_without_a_worker_nothing_is_healthy() -> None:
    with pytest.raises(CommandError, match="no worker is alive; start one"):
        cq("health")
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("cq", "health", "--format", "json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["healthy"], found["workers"], len(found["problems"])) == (False, 0, 1)


def test_with_a_worker_all_is_well_until_tasks_wait_for_too_long() -> None:
    lease = Lease("default", "worker")
    lease.register()
    try:
        assert "healthy: 1 workers, nothing is queued" in cq("health")
        handle = sample_tasks.square.delay(1)
        Task.objects.filter(pk=handle.pk).update(
            submitted=timezone.now() - timedelta(seconds=90)
        )
        assert cq_json("health")["oldest_seconds"] >= 90
        with pytest.raises(
            CommandError, match=r"queued for .* longer than --queue-age 60"
        ):
            cq("health", "--queue-age", "60")
        assert "healthy" in cq("health", "--queue-age", "600")

        # Called long ago, and it could not start before.
        Task.objects.filter(pk=handle.pk).update(ready=timezone.now())
        assert "healthy" in cq("health", "--queue-age", "60")
        assert cq_json("health")["oldest_seconds"] < 60
    finally:
        lease.close()


def test_status_counts_the_age_from_when_a_task_could_start() -> None:
    called = timezone.now() - timedelta(hours=3)
    late = sample_tasks.square.delay(1)
    Task.objects.update(submitted=called, ready=timezone.now() - timedelta(seconds=90))
    [queue] = cq_json("status")["queues"]
    assert 90 <= queue["oldest_seconds"] < 3600

    other = sample_tasks.square.delay(1)
    Task.objects.filter(pk=other.pk).update(submitted=called)
    [queue] = cq_json("status")["queues"]
    assert queue["oldest_seconds"] >= 3 * 3600
    assert cq_json("show", str(late.pk))["waited_seconds"] >= 90


def test_show_says_since_when_it_was_ready_and_how_long_it_waited() -> None:
    made = sample_tasks.square.using(run_after=timedelta(hours=1)).delay(1)
    pending = cq_json("show", str(made.pk))
    assert (pending["ready"], pending["waited_seconds"]) == (None, None)

    moment = timezone.now()
    values = {"submitted": moment - timedelta(hours=3), "ready": moment}
    Task.objects.filter(pk=made.pk).update(
        status=Status.COMPLETE,
        started=moment + timedelta(seconds=1.5),
        finished=moment + timedelta(seconds=9),
        **values,
    )
    shown = cq_json("show", str(made.pk))
    assert shown["waited_seconds"] == 1.5
    assert shown["ready"] == cq_json("list")[0]["ready"]
    assert shown["ready"] > shown["submitted"]
    assert re.search(r"(?m)^waited +1\.5 s$", cq("show", str(made.pk)))


def test_a_database_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import OperationalError

    from cq.commands import health

    def fails(using: str) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(health, "database_now", fails)
    with pytest.raises(
        CommandError, match="'default' cannot be read: connection refused"
    ):
        cq("health")
