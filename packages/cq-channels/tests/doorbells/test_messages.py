"""What is said between processes, and what is made of what others say."""

from __future__ import annotations

import json
import random
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cq_channels.doorbells import messages

A, B = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    "ready",
    [
        [(A, "default")],
        [(A, "default"), (B, "default")],
        [(A, "default"), (B, "mail")],
        [(uuid4(), "q" * 100) for _ in range(messages.MAX_IDS)],
    ],
)
def test_what_is_built_is_understood(ready: Any) -> None:
    assert messages.parse(messages.build(ready)) == ready
    assert messages.loads(messages.dumps(ready, 10_000)) == ready


def test_the_shape_is_the_one_agreed_on() -> None:
    assert messages.build([(A, "default"), (B, "default")]) == {
        "type": "cq.wake",
        "v": 1,
        "ids": [A.hex, B.hex],
        "q": ["default"],
    }


def test_of_too_many_it_says_to_look() -> None:
    ready = [(uuid4(), "default") for _ in range(messages.MAX_IDS + 1)]
    assert messages.build(ready)["ids"] == []
    assert messages.parse(messages.build(ready)) is None


def test_of_what_is_too_long_it_says_to_look() -> None:
    ready = [(uuid4(), "ä" * 100) for _ in range(3)]
    text = messages.dumps(ready, 200)
    assert len(text) <= 200
    assert messages.loads(text) is None


def wake(**fields: Any) -> dict[str, Any]:
    return {"type": "cq.wake", "v": 1, "ids": [A.hex], "q": ["default"]} | fields


@pytest.mark.parametrize(
    ("message", "understood"),
    [
        (None, []),
        ([], []),
        (b"cq.wake", []),
        ({}, []),
        ({"type": "websocket.send", "ids": [A.hex]}, []),
        ({"type": ["cq.wake"]}, []),
        (wake(v=2, ids="another shape"), None),
        (wake(ids=[]), None),
        (wake(ids=[A.hex] * 101), None),
        (wake(ids=A.hex), []),
        (wake(ids={A.hex: 1}), []),
        (wake(q="default"), []),
        (wake(q=[]), []),
        (wake(q=[7]), []),
        (wake(ids=[A.hex, B.hex], q=["a", "b", "c"]), [(A, "a"), (B, "b")]),
        (wake(ids=(A.hex,), q=("default",)), [(A, "default")]),
        # What UUID() takes, and is none of ours.
        (wake(ids=[str(A)]), []),
        (wake(ids=["{" + A.hex + "}"]), []),
        (wake(ids=["1_" * 16]), []),
        (wake(ids=[A.hex.upper().replace("0", "F")]), []),
        (wake(ids=[A.hex + "\n"]), []),
        (wake(ids=[None, 1, b"x" * 32, [], {}, B.hex]), [(B, "default")]),
    ],
)
def test_row_14_others_are_not_trusted(message: Any, understood: Any) -> None:
    assert messages.parse(message) == understood


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["type", "v", "ids", "q", "x"]), inner)
    ),
)


@settings(deadline=None)
@given(ANYTHING, ANYTHING, ANYTHING)
def test_row_14_nothing_raises(v: Any, ids: Any, q: Any) -> None:
    for message in (v, wake(v=v), wake(ids=ids), wake(q=q), wake(ids=ids, q=q)):
        understood = messages.parse(message)
        assert understood is None or len(understood) <= messages.MAX_IDS


HOSTILE: list[Any] = [
    *(
        None,
        True,
        2,
        -1,
        2**70,
        float("nan"),
        "",
        "os.system",
        "\x00",
        "\ud800",
        b"\xff",
    ),
    *(
        [],
        {},
        ["os.system"],
        [A.hex],
        [A.hex] * 200,
        {"$": "import"},
        [[[[]]]],
        (B.hex,),
    ),
    *(A.hex[:-1], A.hex + "0", "../../etc/passwd", "cq.wake", ["default"], object()),
]


def test_row_14_of_ten_thousand_hostile_ones_none_raises_or_imports() -> None:
    chance = random.Random(14)
    known = set(sys.modules)
    for _ in range(10_000):
        fields = chance.sample(["type", "v", "ids", "q", "cmd"], chance.randint(1, 3))
        message = wake(**{field: chance.choice(HOSTILE) for field in fields})
        if chance.random() < 0.3:
            message["ids"] = chance.choices(HOSTILE, k=chance.randint(1, 120))
        for task_id, queue in messages.parse(message) or []:
            assert (type(task_id), type(queue)) == (UUID, str)
    assert set(sys.modules) == known


@pytest.mark.parametrize(
    "text", ["", "{", "nul", "[" * 100_000, "9" * 5000, json.dumps("cq.wake")]
)
def test_row_14_no_text_raises(text: str) -> None:
    assert messages.loads(text) == []


def test_row_14_what_is_ignored_is_counted_but_not_quoted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "cq.doorbell")
    messages.parse({"type": "evil\nCRITICAL forged"})
    assert "ignored a message" in caplog.text
    assert "forged" not in caplog.text
    assert [r.levelname for r in caplog.records] == ["DEBUG"]
