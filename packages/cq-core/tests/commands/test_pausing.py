"""``cq pause``, ``cq resume`` and ``cq queues``, and what other verbs say of pauses."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cq import queues, task
from cq.cli.asker import asked_by
from cq.models import Pause, Task
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@task("commands_pausing.mail", queue="mail")
def mail(cqt: Any) -> None: ...


@task("commands_pausing.other", queue="mail")
def other(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def cq(*arguments: str) -> str:
    output = StringIO()
    call_command("cq", *arguments, stdout=output)
    return output.getvalue()


def of_json(*arguments: str) -> Any:
    return json.loads(cq(*arguments, "--format", "json"))


@pytest.fixture
def _alive() -> Iterator[None]:
    lease = Lease("default", "test")
    lease.register()
    yield
    lease.close()


def test_a_queue_is_paused_and_resumed() -> None:
    said = cq("pause", "mail", "--reason", "provider is down", "--until", "2h")

    assert said.startswith("queue 'mail' is paused until 20")
    made = queues.paused()["mail"]
    assert made.reason == "provider is down"
    assert made.by == asked_by("cq pause")
    assert made.until is not None
    assert made.until - made.since == pytest.approx(
        timedelta(hours=2), abs=timedelta(minutes=10)
    )
    assert "queue 'mail' is paused since" in cq("status")
    assert cq("resume", "mail") == "queue 'mail' is resumed\n"
    with pytest.raises(CommandError, match="queue 'mail' is not paused"):
        cq("resume", "mail")


def test_a_task_is_paused_by_its_name_and_by_whom_one_likes() -> None:
    found = of_json("pause", "--task", "commands_pausing.mail", "--by", "ann")

    assert (found["task"], found["by"]) == ("commands_pausing.mail", "ann")
    assert list(queues.paused_tasks()) == ["commands_pausing.mail"]
    assert "commands_pausing.mail" in cq("queues")
    cq("resume", "--task", "commands_pausing.mail")
    assert not Pause.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause"], "name a queue, or give --task NAME"),
        (["resume", "mail", "--task", "x"], "name a queue, or give --task NAME"),
        (["pause", "nobodys"], "nobody has a queue 'nobodys'"),
        (["pause", "--task", "no.such"], "no task named 'no.such'"),
        (["pause", "mail", "--until", "soon"], "--until is 'soon'"),
        (["pause", "mail", "--until", "2020-01-01T00:00"], "until is "),
    ],
)
def test_what_is_not_there_is_said(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        cq(*arguments)
    assert said in str(refused.value)
    assert not Pause.objects.exists()


def test_the_queues_are_listed_with_what_waits_and_what_is_paused() -> None:
    mail.delay()
    queues.pause("mail", reason="provider is down", by="ann")

    found = {row["queue"]: row for row in of_json("queues")["queues"]}

    assert found["mail"]["waiting"] == 1
    assert found["mail"]["oldest_seconds"] >= 0
    assert (found["mail"]["paused"], found["mail"]["by"]) == (True, "ann")
    assert (found["default"]["waiting"], found["default"]["paused"]) == (0, False)
    assert "provider is down" in cq("queues")


@pytest.mark.usefixtures("_alive")
def test_health_leaves_out_what_is_paused_unless_it_is_told_not_to() -> None:
    mail.delay()
    Task.objects.update(submitted=timezone.now() - timedelta(hours=1), ready=None)
    with pytest.raises(CommandError, match="a task has been queued for"):
        cq("health", "--queue-age", "60")

    for paused in ({"queue": "mail"}, {"task": "commands_pausing.mail"}):
        queues.pause(**paused)  # type: ignore[arg-type]
        assert cq("health", "--queue-age", "60").startswith("healthy")
        with pytest.raises(CommandError, match="a task has been queued for"):
            cq("health", "--queue-age", "60", "--paused")
        queues.resume(**paused)

    # Another of the same queue is not let off.
    queues.pause(task="commands_pausing.mail")
    other.delay()
    Task.objects.update(submitted=timezone.now() - timedelta(hours=1), ready=None)
    with pytest.raises(CommandError, match="a task has been queued for"):
        cq("health", "--queue-age", "60")


@pytest.mark.usefixtures("_alive")
def test_health_fails_on_a_pause_that_somebody_has_forgotten() -> None:
    queues.pause("mail", by="ann")
    assert cq("health", "--pause-age", "3600").startswith("healthy")

    Pause.objects.update(since=timezone.now() - timedelta(hours=2))

    with pytest.raises(
        CommandError, match=r"'mail' is paused since .* by ann; that is"
    ):
        cq("health", "--pause-age", "3600")
    assert cq("health").startswith("healthy")
