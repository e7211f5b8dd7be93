"""``cq show`` with steps, ``cq send``, and what the audit says of both tables."""

from __future__ import annotations

import contextlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from driving import fresh, run

from cq import task
from cq.maintenance.audited.steps import CHECKS
from cq.models import Message, Step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def fails() -> None:
    raise ValueError("declined")


@task(durable=True)
def fulfil(cqt: Any) -> Any:
    cqt.using(key="a").step("charge", dict, token="secret", item=1)
    with contextlib.suppress(ValueError):
        cqt.step("pay", fails)
    return cqt.wait_for("approval")


def said(*command: str) -> str:
    out = io.StringIO()
    call_command("cq", *command, stdout=out)
    return out.getvalue()


def test_show_has_its_steps() -> None:
    handle = run(fulfil.delay())
    steps = json.loads(said("show", str(handle.pk), "--format", "json"))["steps"]
    assert [(s["name"], s["key"], s["kind"], s["attempts"]) for s in steps] == [
        ("charge", "a", "call", 1),
        ("pay", None, "call", 1),
        ("approval", None, "wait", 0),
    ]
    assert steps[0]["result"]["item"] == 1
    assert "secret" not in json.dumps(steps)
    assert steps[1]["error"] == "declined"
    assert steps[2]["finished"] is None
    table = said("show", str(handle.pk))
    assert "ValueError: declined" in table
    assert "secret" not in table


def test_send_wakes_it() -> None:
    handle = run(fulfil.delay())
    assert "sent" in said("send", str(handle.pk), "approval", '{"by": 7}', "--key", "e")
    assert "already" in said("send", str(handle.pk), "approval", "1", "--key", "e")
    assert run(fresh(handle)).result == {"by": 7}
    with pytest.raises(CommandError, match="COMPLETE"):
        said("send", str(handle.pk), "approval")
    with pytest.raises(CommandError, match="no JSON"):
        said("send", str(handle.pk), "approval", "yes")


def broken() -> list[str]:
    return sorted(
        check.what for check in CHECKS if check.found("default", None).exists()
    )


def test_the_audit_is_silent_over_what_is_right_and_loud_over_the_rest() -> None:
    handle = fulfil.delay()
    handle.send("approval", 1)
    handle = run(handle)
    assert broken() == []
    now = datetime(2026, 1, 1, tzinfo=UTC)
    [message] = Message.objects.all()
    Message.objects.create(
        task_id=handle.pk, name="x", sent=now, taken_by=message.taken_by
    )
    assert len(broken()) == 1
    Message.objects.filter(name="x").update(taken_by=999)
    assert len(broken()) == 1
    Step.objects.filter(name="pay").update(fence=99)
    assert len(broken()) == 2
    Message.objects.update(task="0" * 32)
    Step.objects.filter(name="charge").update(task="0" * 32)
    assert len(broken()) >= 3
