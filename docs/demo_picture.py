"""``hatch run picture:record``: a real run of the demo, as the moving picture of the README.

The demo runs in a terminal of its own. What stood on that terminal, moment by moment,
becomes one SVG: all screens in a column, and a window that steps down along it at the
pace of the run.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import pyte

DOCS = Path(__file__).resolve().parent
TARGET = DOCS / "images" / "demo.svg"
#: What it is called, and what hatch runs under that name.
SHOWN = "hatch run demo"
COMMAND = [sys.executable, str(DOCS.parent / "demo" / "run.py")]
COLUMNS, LINES = 84, 24
#: The shortest time between two screens, the longest, and how long the last one stays.
#: Nobody watches a process start for longer.
SCREEN_SECONDS, PAUSE_SECONDS, END_SECONDS = 0.2, 1.5, 6.0
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 7.8, 18, 14
GROUND, INK = "#1f2328", "#e6e8eb"
COLOURS = {
    "red": "#ff7b72",
    "green": "#7ee787",
    "cyan": "#76d9e6",
    "blue": "#79b8ff",
    "magenta": "#d2a8ff",
    "brown": "#e3b341",
    "brightblack": "#8b949e",
}

#: What a screen shows in a line: pieces of text, each with its column and its style.
Line = tuple[tuple[int, str, str, bool], ...]


class Frame(NamedTuple):
    """A screen, and the second at which it began to stand there."""

    second: float
    lines: tuple[Line, ...]


def record() -> list[Frame]:
    """Run the demo and return what stood on its terminal. Raises CalledProcessError."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {SHOWN}\r\n".encode())
    controller, terminal = pty.openpty()
    size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    process = subprocess.Popen(
        COMMAND,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)},
    )
    os.close(terminal)
    start = time.monotonic()
    frames = [Frame(0.0, seen(screen))]
    while said := _read(controller):
        stream.feed(_without_dim(said))
        now = time.monotonic() - start
        if now - frames[-1].second >= SCREEN_SECONDS:
            frames.append(Frame(now, seen(screen)))
    frames.append(Frame(time.monotonic() - start, seen(screen)))
    os.close(controller)
    if status := process.wait():
        raise subprocess.CalledProcessError(status, COMMAND)
    return shortened(frames)


def shortened(frames: list[Frame]) -> list[Frame]:
    """Return the frames with no pause between two that is too long to watch."""
    second, found = 0.0, frames[:1]
    for before, frame in pairwise(frames):
        second += min(frame.second - before.second, PAUSE_SECONDS)
        found.append(frame._replace(second=second))
    return found


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # the last process has closed its end
        return b""


def _without_dim(said: bytes) -> bytes:
    """Put grey in place of dim, which pyte does not know."""

    def grey(found: re.Match[bytes]) -> bytes:
        numbers = [b"90" if n == b"2" else n for n in found[1].split(b";")]
        if b"90" in numbers:  # alone: a dim number is to be grey as well
            return b"\x1b[90m"
        return b"\x1b[" + b";".join(numbers) + b"m"

    return re.sub(rb"\x1b\[([\d;]*)m", grey, said)


def seen(screen: pyte.Screen) -> tuple[Line, ...]:
    """Return the lines that stand on a screen."""
    return tuple(_line(screen.buffer[row]) for row in range(LINES))


def _line(cells: object) -> Line:
    columns = [(column, cells[column]) for column in range(COLUMNS)]  # type: ignore[index]
    pieces = []
    for (colour, bold), run in groupby(columns, lambda c: (c[1].fg, c[1].bold)):
        found = list(run)
        text = "".join(cell.data for _, cell in found)
        # Where it is blank nothing is drawn; a space at an end would be lost in SVG.
        for word in re.finditer(r"\S+(?: \S+)*", text):
            pieces.append((found[0][0] + word.start(), word[0], colour, bold))
    return tuple(pieces)


def svg(frames: list[Frame]) -> str:
    """Return the moving picture."""
    width = round(COLUMNS * CHARACTER_WIDTH + 2 * MARGIN)
    height = LINES * LINE_HEIGHT + 2 * MARGIN
    total = frames[-1].second + END_SECONDS
    names: dict[Line, str] = {}
    screens, steps = [], []
    for number, frame in enumerate(frames):
        rows = []
        for row, line in enumerate(frame.lines):
            if line:
                name = names.setdefault(line, f"l{len(names)}")
                y = number * height + MARGIN + (row + 1) * LINE_HEIGHT - 5
                rows.append(f'<use href="#{name}" y="{y}"/>')
        screens.append("".join(rows))
        percent = 100 * frame.second / total
        steps.append(f"{percent:.2f}%{{transform:translateY({-number * height}px)}}")
    last = f"translateY({-(len(frames) - 1) * height}px)"
    steps.append(f"100%{{transform:{last}}}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            f"<title>{SHOWN}: a worker is killed half-way through an import, "
            "another goes on, and nothing is lost or doubled</title>",
            "<style>",
            "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"
            f"'DejaVu Sans Mono',monospace;fill:{INK}}}",
            f"@keyframes run{{{''.join(steps)}}}",
            f"#screens{{animation:run {total:.1f}s step-end infinite}}",
            "@media(prefers-reduced-motion:reduce)"
            f"{{#screens{{animation:none;transform:{last}}}}}",
            "</style>",
            "<defs>",
            *(f'<g id="{name}">{_drawn(line)}</g>' for line, name in names.items()),
            "</defs>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>',
            '<g id="screens">',
            *screens,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _drawn(line: Line) -> str:
    return "".join(
        f'<text x="{MARGIN + column * CHARACTER_WIDTH:.1f}" '
        f'textLength="{len(text) * CHARACTER_WIDTH:.1f}"'
        + (f' style="fill:{_colour(colour)}"' if colour != "default" else "")
        + (' font-weight="bold"' if bold else "")
        + f">{escape(text)}</text>"
        for column, text, colour, bold in line
    )


def _colour(name: str) -> str:
    return COLOURS.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else INK)


def main() -> None:
    TARGET.write_text(svg(record()))
    print(f"docs/{TARGET.relative_to(DOCS)}")


if __name__ == "__main__":
    sys.exit(main())
