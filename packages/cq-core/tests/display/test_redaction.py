"""What people are not shown: one function decides, for pages and for commands."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from cq import task
from cq.conf import problem
from cq.display.redaction import HIDDEN, Redaction
from cq.models import Task
from cq.testing import run_tasks

#: Unlike the number of a card it stands in no id and no time.
CARD = "card-4111"


@task("redaction.pay", redact=("card", "result"))
def pay(cqt: Any, who: str, password: str = "", *rest: Any, **more: Any) -> str:
    cqt.log(f"paid by {who}")
    return CARD


@task("redaction.fails")
def fails(cqt: Any, who: str) -> None:
    raise ValueError(f"no such person: {who}")


def cq(*args: str) -> str:
    out = io.StringIO()
    call_command("cq", *args, stdout=out)
    return out.getvalue()


def result(node: Any) -> Any:
    return Redaction("nobody knows").result(node)


# By name ------------------------------------------------------------------------------


def test_an_argument_is_hidden_by_the_name_of_its_parameter() -> None:
    redaction = Redaction("redaction.pay")
    assert redaction.args(["ann", "tell", "x"]) == ["ann", HIDDEN, "x"]
    assert redaction.kwargs({"who": "ann", "card": "4111"}) == {
        "who": "ann",
        "card": HIDDEN,
    }
    assert Redaction("nobody knows").args(["ann", "tell"]) == ["ann", "tell"]


def test_all_that_one_parameter_takes_has_its_name() -> None:
    @task("redaction.many", redact=("cards",))
    def many(cqt: Any, who: str, *cards: str) -> None: ...

    assert Redaction("redaction.many").args(["ann", "1", "2"]) == [
        "ann",
        HIDDEN,
        HIDDEN,
    ]


def test_a_task_hides_its_own_names_at_any_depth_and_its_result() -> None:
    redaction = Redaction("redaction.pay")
    assert redaction.kwargs({"a": [{"Card": 1, "b": 2}]}) == {
        "a": [{"Card": HIDDEN, "b": 2}]
    }
    assert redaction.result("4111") == HIDDEN


@pytest.mark.parametrize(
    "name",
    [
        "pwd",
        "userPwd",
        "cookie",
        "session_id",
        "credit_card",
        "cardNumber",
        "SSN",
        "iban",
        "pin",
        "otp",
        "Authorization",
        "X-CSRF-Value",
        "credentials",
    ],
)
def test_what_is_secret_nearly_everywhere_is_hidden(name: str) -> None:
    assert result({name: "tell"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["shipping", "pinned", "discard", "cart", "options"])
def test_what_only_looks_like_it_is_shown(name: str) -> None:
    assert result({name: "keep"}) == {name: "keep"}


def test_the_settings_add_names(settings: Any) -> None:
    settings.CQ_REDACT = ["Room"]
    assert result({"room": 1, "rooms": 2}) == {"room": HIDDEN, "rooms": 2}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"password": "tell", "a": 1}', f'{{"password": "{HIDDEN}", "a": 1}}'),
        ('[{"token": {"x": 1}}]', f'[{{"token": "{HIDDEN}"}}]'),
        ('{"password": "tell a', f'{{"password": {HIDDEN}'),  # cut off
        ("password=tell&a=1", f"password={HIDDEN}&a=1"),
        ("Authorization: Bearer abc.def", f"Authorization: {HIDDEN}"),
        ("https://h/?api_key=tell", f"https://h/?api_key={HIDDEN}"),
        ("redis://u:te@ll@h/0", f"redis://{HIDDEN}@h/0"),
        ('{"a": 1}', '{"a": 1}'),
        ("it is 12:30 = noon", "it is 12:30 = noon"),
        ("", ""),
    ],
)
def test_text_that_holds_a_secret_is_shown_without_it(text: str, wanted: str) -> None:
    assert result(text) == wanted
    assert result([text, {"a": text}]) == [wanted, {"a": wanted}]


def test_a_name_and_its_value_side_by_side() -> None:
    given = [["Cookie", "tell"], ["Accept", "text"]]
    assert result(given) == [["Cookie", HIDDEN], ["Accept", "text"]]
    tagged = {"$": "dict", "v": [["password", "tell"], [1, "keep"]]}
    assert result(tagged)["v"] == [["password", HIDDEN], [1, "keep"]]
    assert result({"$": "tuple", "v": ["password", "tell"]})["v"][1] == HIDDEN


def test_a_megabyte_of_one_word_costs_little() -> None:
    # Each run of letters is tried once: otherwise this would take hours.
    for text in ("a" * 2**20 + "=b", "=" * 2**20, "a:" * 2**19, "://" * 2**18):
        assert len(result(text)) > 2**16


# By a function of the project ---------------------------------------------------------


def by_path(task_name: str, path: tuple[Any, ...], value: Any) -> Any:
    if path == ("broken",):
        raise RuntimeError(value)
    return "gone" if path[-1:] == ("x",) or (task_name, *path) == SEEN else value


SEEN = ("redaction.pay", "who")


def no_person(task_name: str, text: str) -> str:
    if "broken" in text:
        raise RuntimeError(text)
    return text.replace("ann", "NAME")


def test_a_function_takes_the_place_of_the_names(settings: Any) -> None:
    settings.CQ_REDACT = f"{__name__}.by_path"
    redaction = Redaction("redaction.pay")
    assert redaction.args(["ann", "b"]) == ["gone", "b"]
    assert redaction.kwargs({"a": {"x": 1, "token": 2}, "card": 3}) == {
        "a": {"x": "gone", "token": 2},
        "card": HIDDEN,  # what the task itself says holds all the same
    }
    # One that fails hides.
    assert redaction.kwargs({"broken": "tell"}) == {"broken": HIDDEN}


def test_text_passes_a_function(settings: Any) -> None:
    assert Redaction("a").text("ann") == "ann"
    settings.CQ_REDACT_TEXT = f"{__name__}.no_person"
    assert Redaction("a").text("dear ann") == "dear NAME"
    assert Redaction("a").text("broken ann") == (
        "[hidden: CQ_REDACT_TEXT raised RuntimeError]"
    )


@pytest.mark.parametrize("name", ["REDACT", "REDACT_TEXT", "SCHEDULABLE"])
def test_a_path_that_leads_nowhere_is_a_wrong_setting(name: str) -> None:
    assert "cannot be imported" in str(problem(name, "nowhere.at_all"))
    assert "is no function" in str(problem(name, f"{__name__}.SEEN"))
    assert problem(name, f"{__name__}.no_person") is None


# In commands --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_show_and_logs_hide_unless_they_are_told(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_REDACT_TEXT = f"{__name__}.no_person"
    paid = pay.delay("ann", "tell", card=CARD, note="password=tell")
    failed = fails.delay("ann")
    run_tasks()
    for flag in ((), ("--format", "json")):
        text = cq("show", str(paid.pk), *flag)
        assert "tell" not in text
        assert CARD not in text
        assert HIDDEN in text
        for secret in ("tell", CARD):
            assert secret in cq("show", str(paid.pk), "--reveal", *flag)
        assert "no such person: NAME" in cq("show", str(failed.pk), *flag)
        assert "no such person: ann" not in cq("show", str(failed.pk), *flag)
        assert "person: ann" in cq("show", str(failed.pk), "--reveal", *flag)
        assert "paid by NAME" in cq("logs", str(paid.pk), *flag)
        assert "paid by ann" in cq("logs", str(paid.pk), "--reveal", *flag)
    assert "person: ann" not in cq("list", "--format", "json")
    # What is stored, and what the task gets, is whole.
    assert json.loads(Task.objects.get(pk=paid.pk).stored_text("args"))[1] == "tell"
