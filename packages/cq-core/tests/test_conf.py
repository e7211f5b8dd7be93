"""The settings, read when used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from cq.conf import SETTINGS, conf, problem


def test_a_setting_is_read_each_time() -> None:
    assert conf.DRAIN == 25.0
    with override_settings(CQ_DRAIN=3):
        assert conf.DRAIN == 3
    assert conf.DRAIN == 25.0


def test_an_unknown_one_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="cq has no setting CQ_LEESE"):
        _ = conf.LEESE


#: The numbers of the design, all together.
DEFAULTS = {
    "DATABASE": "default",
    "SERIAL": False,
    "RUN_INLINE": None,
    "QUEUES": None,
    "RESULT_TTL": {"COMPLETE": "7d", "default": "30d"},
    "LOG_LIMIT": 10_000,
    "HEARTBEAT": 2.0,
    "LEASE": 15.0,
    "POLL": 1.0,
    "SWEEP": 5.0,
    "DRAIN": 25.0,
    "MAX_LOSSES": 3,
    "UNKNOWN_GRACE": 600.0,
    "UNIQUE_WAIT": 5.0,
    "SIZE_LIMIT": 1024 * 1024,
    "DEPTH_LIMIT": 64,
    "MAX_TREE_DEPTH": 100,
    "CHANNEL_LAYER": "default",
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_a_default_is_what_the_design_says(name: str, value: Any) -> None:
    assert SETTINGS[name].default == value


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_allowed_and_explained(name: str) -> None:
    assert problem(name, SETTINGS[name].default) is None
    assert SETTINGS[name].help.endswith(".")


#: (setting, value, what is said; None: it is fine)
PROBLEMS: list[tuple[str, Any, str | None]] = [
    ("LEASE", 15, None),
    ("LEASE", 0.1, None),
    ("LEASE", 0, "CQ_LEASE is 0, but must be at least 0.1."),
    ("LEASE", "15", "CQ_LEASE is '15', but must be int or float."),
    # To isinstance True is a number.
    ("LEASE", True, "CQ_LEASE is True, but must be int or float."),
    ("LEASE", float("nan"), "CQ_LEASE is nan, but must be at least 0.1."),
    ("LEASE", float("inf"), "CQ_LEASE is inf, but must be at most 1e+09 seconds."),
    (
        "ADMIN_TIMEOUT",
        1e300,
        "CQ_ADMIN_TIMEOUT is 1e+300, but must be at most 1e+09 seconds.",
    ),
    ("ADMIN_TIMEOUT", None, None),
    ("LOG_LIMIT", 10**12, None),
    ("SERIAL", True, None),
    ("SERIAL", 1, "CQ_SERIAL is 1, but must be bool."),
    ("RESULT_TTL", None, None),
    ("RESULT_TTL", -1, "CQ_RESULT_TTL is -1, but must be at least 0."),
    ("RESULT_TTL", 86_400, None),
    ("RESULT_TTL", "12h", None),
    ("RESULT_TTL", timedelta(days=1), None),
    ("RESULT_TTL", {"COMPLETE": "7d", "LOST": None, "default": timedelta(30)}, None),
    (
        "RESULT_TTL",
        "7 weeks",
        "CQ_RESULT_TTL: '7 weeks' is no duration; give seconds, a timedelta, \"7d\", "
        '"12h", "30m", "45s", or "forever", or None.',
    ),
    (
        "RESULT_TTL",
        {"DONE": 1},
        "CQ_RESULT_TTL has 'DONE', but must have final statuses (COMPLETE, EXPIRED, "
        'FAILURE, INCOMPLETE, LOST, REVOKED, SKIPPED) and "default".',
    ),
    (
        "RESULT_TTL",
        {"default": True},
        'CQ_RESULT_TTL: True is no duration; give seconds, a timedelta, "7d", '
        '"12h", "30m", "45s", or "forever", or None.',
    ),
    ("RELEASE", "2026.11.1", None),
    ("RELEASE", 7, "CQ_RELEASE is 7, but must be str or None."),
    *(
        (
            "RELEASE",
            text,
            f"CQ_RELEASE is {text!r}, but must be None or a text of 1 to 64 characters "
            "that every database stores.",
        )
        for text in ("", "  ", "a\0b", "a" * 65)
    ),
    ("MAX_LOSSES", 2.5, "CQ_MAX_LOSSES is 2.5, but must be int."),
    ("QUEUES", ["a"], None),
    ("QUEUES", ["a", 3], "CQ_QUEUES has 3, but must have names, as text."),
    ("REDACT", ["a", ""], "CQ_REDACT has '', but must have names, as text."),
    ("SCHEDULABLE", {None}, "CQ_SCHEDULABLE has None, but must have names, as text."),
    ("LIMITS", {"stripe": {"rate": "90/s"}}, None),
    ("LIMITS", ["stripe"], "CQ_LIMITS is ['stripe'], but must be dict."),
    ("LIMITS", None, "CQ_LIMITS is None, but must be dict."),
    ("FAIR_WEIGHTS", {"acme": 3, "free": 0.01, "big": 100}, None),
    ("FAIR_WEIGHTS", len, None),
    ("FAIR_WEIGHTS", "math.sqrt", None),
    (
        "FAIR_WEIGHTS",
        "math.pi",
        "CQ_FAIR_WEIGHTS is 'math.pi', which is no function.",
    ),
    (
        "FAIR_WEIGHTS",
        "math.nobody",
        "CQ_FAIR_WEIGHTS is 'math.nobody', which cannot be imported: Module \"math\" "
        'does not define a "nobody" attribute/class.',
    ),
    ("FAIR_WEIGHTS", {7: 1}, "CQ_FAIR_WEIGHTS has 7, but must have keys, as text."),
    *(
        (
            "FAIR_WEIGHTS",
            {"acme": weight},
            f"CQ_FAIR_WEIGHTS has {weight!r} for 'acme', but must have numbers, 0.01 to "
            "100.",
        )
        for weight in (0, -1, 0.001, 100.5, True, "3", None, float("nan"))
    ),
    (
        "FAIR_WEIGHTS",
        3,
        "CQ_FAIR_WEIGHTS is 3, but must be dict or str or Callable or None.",
    ),
    # It is a secret, whatever is wrong with it.
    (
        "METRICS_TOKEN",
        b"hunter2",
        "CQ_METRICS_TOKEN is bytes, but must be str or bool or None.",
    ),
    ("QUEUES", "a", "CQ_QUEUES is 'a', but must be list or tuple or set or None."),
]


@pytest.mark.parametrize(("name", "value", "said"), PROBLEMS)
def test_a_wrong_value_is_named_with_what_it_must_be(
    name: str, value: Any, said: str | None
) -> None:
    assert problem(name, value) == said
