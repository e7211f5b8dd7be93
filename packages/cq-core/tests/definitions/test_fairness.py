"""The weights of fair keys, by the setting."""

from __future__ import annotations

from typing import Any

import pytest

from cq.definitions.fairness import weight_of


def by_length(key: str) -> Any:
    if key == "raises":
        raise KeyError(key)
    return len(key) if key != "text" else "3"


@pytest.mark.parametrize(
    ("setting", "key", "weight"),
    [
        (None, "acme", 1.0),
        ({"acme": 3, "half": 0.5}, "acme", 3.0),
        ({"acme": 3, "half": 0.5}, "half", 0.5),
        ({"acme": 3, "half": 0.5}, "other", 1.0),
        (by_length, "four", 4.0),
        (f"{__name__}.by_length", "four", 4.0),
        ({}, "acme", 1.0),
        # What is none, or cannot be asked for.
        ({"acme": 0}, "acme", 1.0),
        ({"acme": True}, "acme", 1.0),
        ({"acme": float("nan")}, "acme", 1.0),
        (by_length, "raises", 1.0),
        (by_length, "text", 1.0),
        (by_length, "x" * 101, 1.0),
        ("no.such.path", "acme", 1.0),
        (7, "acme", 1.0),
    ],
)
def test_a_key_has_the_weight_that_the_setting_gives_it(
    setting: Any, key: str, weight: float, settings: Any
) -> None:
    settings.CQ_FAIR_WEIGHTS = setting

    assert weight_of(key) == weight
