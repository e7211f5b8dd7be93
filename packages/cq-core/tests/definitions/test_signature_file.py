"""The signatures of a release as a file, and what another one has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import signature
from typing import Any

import pytest

from cq import task
from cq.definitions import registry
from cq.definitions.fitting import misfits, signature_file

NAME = "signature_file.shop"

Define = Callable[[Callable[..., Any]], None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Make the one task of this release."""
    monkeypatch.setattr(registry, "_definitions", {})

    def defined(function: Callable[..., Any]) -> None:
        registry._definitions.clear()
        task(NAME)(function)

    return defined


def written(define: Define, function: Callable[..., Any]) -> list[str]:
    define(function)
    found: list[str] = json.loads(signature_file.as_text())["tasks"][NAME]
    return found


def everything(
    cqt: Any, a: int, /, b: int, c: int = 1, *d: int, e: int, f: int = 2, **g: int
) -> None: ...
def positions(cqt: Any, a: int, b: int = 1, /) -> None: ...
def names(cqt: Any, a: int, *, b: int, c: int = 1) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (everything, ["a", "/", "b", "c=", "*d", "e", "f=", "**g"]),
        (positions, ["a", "b=", "/"]),
        (names, ["a", "*", "b", "c="]),
        (anything, ["*args", "**kwargs"]),
    ],
)
def test_a_signature_is_written_as_python_has_it(
    define: Define, function: Any, words: list[str]
) -> None:
    assert written(define, function) == words
    [(name, found)] = signature_file.read(signature_file.as_text()).items()
    mine = registry.get(name).signature
    assert [(p.name, p.kind) for p in found.parameters.values()] == [
        (p.name, p.kind) for p in mine.parameters.values()
    ]
    # What was written here fits here.
    assert signature_file.misfits({name: found}) == []


def test_the_file_tells_of_which_release_it_is(define: Define, settings: Any) -> None:
    settings.CQ_RELEASE = "2026.11.1"
    define(names)
    assert json.loads(signature_file.as_text())["release"] == "2026.11.1"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "tasks": []}']
    + [
        json.dumps({"format": 1, "tasks": {NAME: words}})
        for words in ("a", [1], ["a", "a"], ["1a"], ["a=", "b"], ["**a", "b"])
    ],
)
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        signature_file.read(text)


def before(cqt: Any, order: int, copies: int = 1, *, language: str = "en") -> None: ...
def same(cqt: Any, order: int, copies: int = 2, *, language: str = "de") -> None: ...
def more(
    cqt: Any,
    order: int,
    copies: int = 1,
    paper: str = "",
    *,
    language: str = "",
    size: str = "",
) -> None: ...
def takes_more(cqt: Any, order: int, *args: Any, **kwargs: Any) -> None: ...
def lost(cqt: Any, order: int, *, language: str = "en") -> None: ...
def lost_a_name(cqt: Any, order: int, copies: int = 1) -> None: ...
def required(cqt: Any, order: int, copies: int, *, language: str) -> None: ...
def new_required(
    cqt: Any, order: int, copies: int = 1, *, language: str = "en", paper: str
) -> None: ...
def moved(cqt: Any, copies: int, order: int = 1, *, language: str = "en") -> None: ...
def renamed(cqt: Any, order: int, count: int = 1, *, language: str = "en") -> None: ...
def position_alone(
    cqt: Any, order: int, copies: int = 1, /, *, language: str = ""
) -> None: ...
def name_alone(
    cqt: Any, order: int, *, copies: int = 1, language: str = "en"
) -> None: ...


@pytest.mark.parametrize(
    ("after", "problems"),
    [
        (same, []),
        (more, []),
        (takes_more, []),
        (anything, []),
        (lost, [("copies", "is no parameter any more")]),
        (lost_a_name, [("language", "is no parameter any more")]),
        (required, [("copies", "is required now"), ("language", "is required now")]),
        (new_required, [("paper", "is required now")]),
        (
            moved,
            [
                ("order", "is not argument 1 any more"),
                ("copies", "is not argument 2 any more"),
                ("copies", "is required now"),
            ],
        ),
        (renamed, [("copies", "is no parameter any more")]),
        (
            position_alone,
            [
                ("order", "is not given by name any more"),
                ("copies", "is not given by name any more"),
            ],
        ),
        (name_alone, [("copies", "is not argument 2 any more")]),
    ],
)
def test_what_a_release_has_changed_is_named(
    define: Define, after: Any, problems: list[tuple[str, str]]
) -> None:
    define(before)
    released = signature_file.read(signature_file.as_text())
    define(after)
    assert signature_file.misfits(released) == [(NAME, misfit) for misfit in problems]


@pytest.mark.parametrize(
    ("released", "after", "problems"),
    [
        (anything, names, ["*args", "**kwargs", "a", "b"]),
        (takes_more, same, ["*args", "**kwargs"]),
    ],
)
def test_what_took_anything_is_named(
    define: Define, released: Any, after: Any, problems: list[str]
) -> None:
    define(released)
    found = signature_file.read(signature_file.as_text())
    define(after)
    assert [m.parameter for _, m in signature_file.misfits(found)] == problems


def test_a_name_that_is_gone_is_named(define: Define) -> None:
    define(before)
    released = {"shop.tasks.old": signature(lambda: None)}
    assert signature_file.misfits(released) == [
        ("shop.tasks.old", ("", "is no task any more"))
    ]


@pytest.mark.parametrize(
    ("function", "count", "given", "problems"),
    [
        (before, 1, [], []),
        (before, 2, ["language"], []),
        (before, 0, [], [("order", "is missing")]),
        (before, 3, [], [("argument 3", "has no parameter")]),
        (before, 1, ["paper"], [("paper", "is no parameter")]),
        (before, 1, ["order"], [("order", "is given twice")]),
        (names, 1, [], [("b", "is missing")]),
        (positions, 0, ["a"], [("a", "is no parameter"), ("a", "is missing")]),
        (anything, 5, ["a"], []),
        (everything, 9, ["e", "z"], []),
    ],
)
def test_a_call_that_does_not_fit_is_told_by_its_parameters(
    define: Define,
    function: Any,
    count: int,
    given: list[str],
    problems: list[tuple[str, str]],
) -> None:
    define(function)
    found = misfits(registry.get(NAME), count, given)
    assert found == problems
