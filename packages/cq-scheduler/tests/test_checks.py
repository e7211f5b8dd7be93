"""What ``manage.py check`` says about schedules."""

from __future__ import annotations

from typing import Any

import pytest
import repeating_samples as samples
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection

from cq_scheduler import repeat
from cq_scheduler.declaring import repeat as declared
from cq_scheduler.models import RepeatingTask


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "_declared", {})


def found(**options: Any) -> list[tuple[str | None, str]]:
    messages = run_checks(**options)
    return [(m.id, m.msg) for m in messages if (m.id or "").startswith("cq_scheduler.")]


def test_a_declaration_that_could_not_run_is_an_error() -> None:
    repeat("@daily")(samples.nightly)
    repeat("@daily", timezone="Mars/Olympus")(samples.report)
    repeat("@daily", key="2", priority=500)(samples.report)
    first, second = found()
    assert first[0] == second[0] == "cq_scheduler.E001"
    assert "Mars/Olympus" in first[1]
    assert "100" in second[1]


@pytest.mark.django_db
def test_a_row_without_its_task_is_a_warning() -> None:
    for name in (samples.report.name, "gone", "gone", "paused"):
        RepeatingTask.objects.create(
            name=name, crontab="@daily", enabled=name != "paused"
        )
    [(check, message)] = found(databases=["default"])
    assert check == "cq_scheduler.W001"
    assert "'gone'" in message
    assert found() == []


@pytest.mark.django_db
def test_before_the_first_migration_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", lambda cursor: [])
    assert found(databases=["default"]) == []


@pytest.mark.django_db
def test_the_migrations_are_up_to_date() -> None:
    call_command("makemigrations", "cq_scheduler", check=True, dry_run=True)
