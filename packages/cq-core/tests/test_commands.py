"""``manage.py cq VERB``: what people and programs see, and what goes wrong clearly."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import pytest
import sample_tasks
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from cq import task
from cq.commands import logs as logs_module
from cq.commands.logs import followed
from cq.commands.output import Output
from cq.conf import SETTINGS
from cq.leases import Lease
from cq.models import Task
from cq.picking import claim_next
from cq.status import Status

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


def test_status_of_an_empty_table() -> None:
    text = cq("status")

    assert "nothing is queued" in text
    assert "no workers" in text


# --- list -----------------------------------------------------------------------------


def test_list_shows_the_latest_first() -> None:
    tasks = [sample_tasks.square.delay(n) for n in range(3)]

    rows = cq_json("list", "--limit", "2")

    assert [row["id"] for row in rows] == [str(t.pk) for t in reversed(tasks[1:])]
    assert set(rows[0]) == {
        "id",
        "name",
        "queue",
        "priority",
        "status",
        "attempts",
        "losses",
        "submitted",
        "run_after",
        "expires",
        "started",
        "finished",
        "parent",
        "root",
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
        "SUBMITTED",
    ]
    assert [line.split()[0] for line in lines] == [str(t.pk) for t in reversed(tasks)]


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
    text = cq("show", str(shown.pk))
    assert "\nresult     [0, 1]\n" in text
    assert "traceback" not in text


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
        assert seconds == logs_module.PAUSE
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

    rows = {row["name"]: row for row in cq_json("settings")}

    assert list(rows) == [f"CQ_{name}" for name in SETTINGS]
    assert (rows["CQ_LEASE"]["value"], rows["CQ_LEASE"]["from"]) == (20, "settings")
    assert rows["CQ_LEASE"]["default"] == 15.0
    assert rows["CQ_QUEUES"]["value"] == ["a", "b"]
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


@pytest.mark.parametrize("args", [[], ["lst"], ["show"], ["list", "--limit", "many"]])
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
    finally:
        lease.close()


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
