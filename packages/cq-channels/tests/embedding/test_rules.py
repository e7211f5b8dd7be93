"""Whether a worker is to run beside this process."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import ENVIRONMENT_VARIABLE

from cq.conf import problem
from cq_channels import asgi, wsgi
from cq_channels.embedding import rules

SERVES = {"RUN_MAIN": "true"}
RUNSERVER = ["manage.py", "runserver"]


@pytest.fixture(autouse=True)
def _a_project(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = True
    settings.CQ_SERIAL, settings.CQ_RUN_INLINE = False, None
    monkeypatch.setattr(rules, "in_memory", lambda using: False)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "site1.settings")


def test_beside_runserver_while_debug_is_on() -> None:
    assert rules.beside_runserver(RUNSERVER, SERVES)
    assert rules.beside_runserver([*RUNSERVER, "8000"], SERVES)
    assert rules.beside_runserver([*RUNSERVER, "--noreload"], {})
    plus = ["manage.py", "runserver_plus"]
    assert rules.beside_runserver(plus, {"WERKZEUG_RUN_MAIN": "true"})


def test_the_process_that_only_watches_the_code_has_none() -> None:
    assert not rules.beside_runserver(RUNSERVER, {})


@pytest.mark.parametrize("command", ["migrate", "shell", "test", "cqworker", "check"])
def test_no_other_command_has_one(command: str) -> None:
    assert not rules.beside_runserver(["manage.py", command], SERVES)
    assert not rules.beside_runserver(["manage.py"], SERVES)


@pytest.mark.parametrize("value", ["dev", False, None, "production", 7])
def test_without_debug_nothing_but_true_has_one(settings: Any, value: object) -> None:
    settings.DEBUG = False
    settings.CQ_EMBEDDED = value

    assert not rules.beside_runserver(RUNSERVER, SERVES)
    assert not rules.wanted()


def test_true_is_for_servers_whose_application_is_wrapped(settings: Any) -> None:
    settings.DEBUG = False
    settings.CQ_EMBEDDED = True

    assert rules.wanted()
    assert asgi.with_worker(rules) is not rules
    assert wsgi.with_worker(rules) is not rules


def test_else_the_application_is_left_as_it_is() -> None:
    assert asgi.with_worker(rules) is rules
    assert wsgi.with_worker(rules) is rules


@pytest.mark.parametrize("name", ["CQ_SERIAL", "CQ_RUN_INLINE"])
def test_where_tasks_run_at_once_there_is_nothing_for_it(
    settings: Any, name: str
) -> None:
    setattr(settings, name, True)

    assert not rules.beside_runserver(RUNSERVER, SERVES)


def test_a_database_in_memory_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "in_memory", lambda using: True)

    assert not rules.beside_runserver(RUNSERVER, SERVES)


def test_a_project_without_a_settings_module_cannot_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)

    assert not rules.beside_runserver(RUNSERVER, SERVES)


@pytest.mark.parametrize(("value", "fine"), [("dev", True), (True, True), ("x", False)])
def test_a_value_that_means_nothing_is_named(value: object, fine: bool) -> None:
    assert (problem("EMBEDDED", value) is None) is fine
