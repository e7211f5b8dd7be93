"""Tracebacks in pieces: whose frames are whose, and which is the innermost of one's own."""

from __future__ import annotations

import json
import traceback

import pytest

from cq_admin.display.tracebacks import innermost, pieces

pytestmark = pytest.mark.backend("sqlite")  # no database is asked


def raised() -> str:
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise LookupError("of several\n    lines") from error
    except LookupError:
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def test_the_pieces_are_the_whole_and_take_turns() -> None:
    text = raised()
    found = pieces(text)
    assert "\n".join(piece.text for piece in found) == text
    assert [piece.library for piece in found] == [False, True, False]
    assert found[1].packages == ["json"]
    assert found[1].frames == found[1].text.count('  File "')
    assert "    lines" in found[2].text


def test_the_innermost_is_the_last_of_ones_own() -> None:
    frame = innermost(raised())
    assert frame is not None
    assert frame.short.startswith("test_tracebacks.py:")
    assert frame.path == __file__


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/srv/shop/tasks.py", None),
        ("C:\\shop\\tasks.py", None),
        # In a folder that is called so, and is none.
        ("/srv/lib/shop/tasks.py", None),
        ("/srv/venv/lib/python3.12/site-packages/requests/api.py", "requests"),
        ("/usr/lib/python3/dist-packages/six.py", "six"),
        ("C:\\venv\\Lib\\site-packages\\requests\\api.py", "requests"),
        ("/usr/lib/python3.12/asyncio/tasks.py", "asyncio"),
        ("C:\\Python312\\Lib\\socket.py", "socket"),
        ("<frozen importlib._bootstrap>", "importlib"),
    ],
)
def test_a_library_is_known_by_where_it_is(path: str, package: str | None) -> None:
    (piece,) = pieces(f'  File "{path}", line 3, in f\n    f()')
    assert piece.library is (package is not None)
    assert piece.packages == ([package] if package else [])


def test_a_path_of_another_host_has_its_last_folders() -> None:
    frame = innermost('  File "/opt/releases/42/shop/gateway.py", line 3, in f')
    assert frame is not None
    assert frame.short == "42/shop/gateway.py:3"


def test_a_group_of_exceptions_and_a_syntax_error_have_frames_too() -> None:
    grouped = '  | Traceback:\n  |   File "/srv/shop/a.py", line 1, in f\n  |     f()'
    assert len(pieces(grouped)) == 1
    frame = innermost(grouped)
    assert frame is not None
    assert frame.line == 1
    wrong = '  File "/srv/shop/b.py", line 2\n    a b\n      ^\nSyntaxError: no'
    frame = innermost(wrong)
    assert frame is not None
    assert frame.line == 2


@pytest.mark.parametrize("text", ["", "Traceback", "\n\n", 'File "', "x" * 30_000])
def test_what_is_no_traceback_is_one_piece(text: str) -> None:
    (piece,) = pieces(text)
    assert piece.text == text
    assert innermost(text) is None
