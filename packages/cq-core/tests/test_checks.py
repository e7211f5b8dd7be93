"""What ``manage.py check`` says of settings that go wrong later.

Those that ask the database are tested beside what they warn of.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from cq.checks import settings as settings_checks


def said(**options: Any) -> dict[str, CheckMessage]:
    """By id; what is not cq's, or cq's siblings' doing, is left out."""
    found = run_checks(**options)
    return {str(m.id): m for m in found if str(m.id).startswith("cq.")}


@pytest.mark.parametrize(
    ("values", "id_", "text"),
    [
        ({"CQ_HEARTBEAT": "often"}, "cq.E001", "CQ_HEARTBEAT is 'often'"),
        (
            {"CQ_LEASE": 3.0, "CQ_HEARTBEAT": 2.0},
            "cq.E002",
            "CQ_LEASE is 3 s, but CQ_HEARTBEAT 2 s.",
        ),
        ({"CQ_DATABASE": "gone"}, "cq.E003", "CQ_DATABASE is 'gone'"),
        ({"USE_TZ": False}, "cq.E006", "USE_TZ is False"),
        (
            {"CQ_MIDDLEWARE": ["no.such.thing"]},
            "cq.E040",
            "'no.such.thing', which cannot be imported: ModuleNotFoundError",
        ),
        (
            {"CQ_MIDDLEWARE": ["decimal.Decimal"]},
            "cq.E040",
            "which is a class; name a function (call_next, run)",
        ),
        ({"CQ_MIDDLEWARE": ["math.pi"]}, "cq.E040", "which is not callable"),
        ({"CQ_MIDDLEWARE": [print]}, "cq.E040", "must have dotted names"),
        ({"CQ_MIDDLEWARE": "math.pi"}, "cq.E001", "must be list or tuple"),
        (
            {"CQ_CONTEXT": ["cq.context.nobody"]},
            "cq.E041",
            "'cq.context.nobody', which cannot be imported: ImportError",
        ),
        ({"CQ_CONTEXT": ["math.pi"]}, "cq.E041", "whose `name` is None"),
        (
            {"CQ_CONTEXT": ["cq.context.user", "cq.context.user"]},
            "cq.E041",
            "which are both named 'user'",
        ),
        ({"CQ_LEESE": 3}, "cq.W001", "There is no setting CQ_LEESE."),
    ],
)
def test_a_setting_that_goes_wrong_later_is_named(
    values: dict[str, Any], id_: str, text: str, settings: Any
) -> None:
    assert id_ not in said()
    for name, value in values.items():
        setattr(settings, name, value)
    message = said()[id_]
    assert text in message.msg
    assert message.hint
    assert message.is_serious() is id_.startswith("cq.E")


def test_a_name_that_is_nearly_one_is_told(settings: Any) -> None:
    settings.CQ_LEESE = 3
    assert said()["cq.W001"].hint == "Did you mean CQ_LEASE?"


def test_a_part_that_is_installed_and_not_listed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A package of Django's that no project lists.
    monkeypatch.setattr(
        settings_checks, "_SIBLINGS", ("django.forms", "no_such_package")
    )
    assert [m.hint for m in settings_checks.check_siblings()] == [
        "Add 'django.forms' after 'cq', or uninstall it."
    ]


@pytest.mark.backend("sqlite")
def test_sqlite_without_a_write_ahead_log_is_told_what_to_add(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cq.W005" not in said()
    database = settings.DATABASES["default"]
    monkeypatch.setitem(database, "OPTIONS", {})
    assert "PRAGMA journal_mode=WAL" in str(said()["cq.W005"].hint)
    wal = {"init_command": "PRAGMA journal_mode=WAL;"}
    monkeypatch.setitem(database, "OPTIONS", wal)
    assert "transaction_mode IMMEDIATE" in said()["cq.W005"].msg
    assert "journal_mode=WAL:" not in said()["cq.W005"].msg
    assert "'transaction_mode': 'IMMEDIATE'" in str(said()["cq.W005"].hint)
    immediate = {**wal, "transaction_mode": "immediate"}
    monkeypatch.setitem(database, "OPTIONS", immediate)
    assert "cq.W005" not in said()
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.postgresql")
    assert "cq.W005" not in said()


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize(
    ("line", "is_said"),
    [
        ("check --deploy", True),
        ("runserver", True),
        ("cq logs -f 01", False),
        ("migrate", False),
        ("shell", False),
        ("", True),
        ("no.command.of.django", True),
    ],
)
def test_how_sqlite_is_set_up_is_not_said_before_each_command(
    settings: Any, monkeypatch: pytest.MonkeyPatch, line: str, is_said: bool
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {})
    monkeypatch.setattr("sys.argv", ["manage.py", *line.split()])
    assert ("cq.W005" in said()) is is_said


@pytest.mark.django_db(transaction=True)
def test_the_table_of_the_first_django_cq_is_named() -> None:
    database = {"tags": ["database"], "databases": ["default"]}
    assert "cq.W004" not in said(**database)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE cq_task (id integer)")
        try:
            assert "cq.W004" in said(**database)
        finally:
            cursor.execute("DROP TABLE cq_task")
