"""What a socket may be sent: anything, and only a few things mean something."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from cq.live.whole import Whole
from cq_channels.live.message import Pausing, Unwatching, Watching, parse

ID = uuid4()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"watch": str(ID)}, Watching(ID)),
        ({"watch": ID.hex, "after": 3}, Watching(ID, 3)),
        ({"watch": str(ID), "after": None, "token": "a"}, Watching(ID, None, "a")),
        ({"unwatch": str(ID)}, Unwatching(ID)),
        ({"watch": "overview"}, Watching(Whole.OVERVIEW)),
        # Only a task has lines.
        ({"watch": "workers", "after": 3}, Watching(Whole.WORKERS)),
        ({"unwatch": "workers"}, Unwatching(Whole.WORKERS)),
        ({"pause": True}, Pausing(True)),
        ({"pause": False}, Pausing(False)),
    ],
)
def test_what_is_meant(said: Any, meant: Any) -> None:
    assert parse(json.dumps(said)) == meant


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        '"watch"',
        "{}",
        "[" * 4_000,
        "x" * 5_000,
        '{"watch": 1}',
        '{"watch": null}',
        '{"watch": "overview; drop"}',
        '{"watch": {}}',
        '{"watch": "OVERVIEW"}',
        '{"watch": "queues"}',
        '{"unwatch": []}',
        '{"pause": 1}',
        *(
            json.dumps({"watch": str(ID), **more})
            for more in (
                {"after": -1},
                {"after": "1"},
                {"after": True},
                {"after": 1.5},
                {"token": 1},
                {"token": "x" * 1_001},
            )
        ),
    ],
)
def test_what_means_nothing(text: str | None) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text)
