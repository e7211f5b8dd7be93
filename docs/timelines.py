"""Draws the pictures of clocks: what coalesces, what was missed, and places of a limit.

On a ground of their own, so that they can be read where the page is dark.
"""

from __future__ import annotations

from html import escape

LEFT, WIDTH, ROW = 112, 500, 36
BLUE, PALE, INK, QUIET, RED = "#1d6fd1", "#b9d4f4", "#1f2328", "#6b7280", "#c2410c"


class Timeline:
    """Rows of one clock, from hour `first` to `last`."""

    def __init__(self, title: str, first: float, last: float) -> None:
        self.title, self.first, self.last = title, first, last
        self.rows = 0
        self.parts: list[str] = []

    def x(self, hour: float) -> float:
        share = (hour - self.first) / (self.last - self.first)
        return round(LEFT + share * (WIDTH - LEFT - 20), 1)

    def row(self, label: str, note: str = "") -> float:
        """Begin a row; returns the height of its middle."""
        self.rows += 1
        y = self.rows * ROW - 8
        self.text(8, y + 4, label)
        if note:
            self.text(8, y + 17, note, QUIET, 11)
        return y

    def text(
        self, x: float, y: float, text: str, ink: str = INK, size: int = 13
    ) -> None:
        self.parts.append(
            f'<text x="{x}" y="{y}" font-size="{size}" fill="{ink}">{escape(text)}</text>'
        )

    def bar(self, y: float, start: float, end: float, fill: str = BLUE) -> None:
        width = round(self.x(end) - self.x(start), 1)
        self.parts.append(
            f'<rect x="{self.x(start)}" y="{y - 8}" width="{width}" height="16" rx="4" '
            f'fill="{fill}"/>'
        )

    def dot(self, y: float, hour: float, fill: str = BLUE) -> None:
        self.parts.append(f'<circle cx="{self.x(hour)}" cy="{y}" r="5" fill="{fill}"/>')

    def hollow(self, y: float, hour: float, ink: str = QUIET) -> None:
        self.parts.append(
            f'<circle cx="{self.x(hour)}" cy="{y}" r="5" fill="none" stroke="{ink}" '
            'stroke-dasharray="2 2"/>'
        )

    def down(self, hour: float) -> None:
        """A line from the first row to the last."""
        self.parts.insert(
            0,
            f'<line x1="{self.x(hour)}" x2="{self.x(hour)}" y1="{ROW - 8}" '
            f'y2="{self.rows * ROW}" stroke="#e5e7eb"/>',
        )

    def svg(self) -> str:
        height = self.rows * ROW + 20
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                f'width="{WIDTH}" height="{height}" role="img" '
                'font-family="system-ui, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
                *self.parts,
                "</svg>",
                "",
            ]
        )


def coalescing() -> str:
    """Five slots; the first run is longer than the time between two of them."""
    line = Timeline("Two slots during one run make one run, or two", 0, 5)
    slots = line.row("slots")
    for hour in range(5):
        line.dot(slots, hour, QUIET)
    once = line.row("coalesce", "the default")
    line.bar(once, 0, 1.5)
    line.hollow(once, 1, "#ffffff")
    for hour in (2, 3, 4):
        line.bar(once, hour, hour + 0.6)
    each = line.row("coalesce=False")
    line.bar(each, 0, 1.5)
    beside = line.row("")
    for hour in (1, 2, 3, 4):
        line.bar(beside, hour, hour + 0.6)
    for hour in range(5):
        line.down(hour)
    return line.svg()


def missed() -> str:
    """An hourly schedule, and no scheduler from half past twelve to half past six."""
    line = Timeline(
        "What becomes of the slots of six hours without a scheduler", 12, 20
    )
    clock = line.row("slots")
    for hour in range(12, 20):
        line.text(line.x(hour) - 7, clock + 4, str(hour), QUIET)
    there = line.row("schedulers")
    line.bar(there, 12, 12.5, PALE)
    line.bar(there, 18.5, 20, PALE)
    line.text(line.x(14.4), there + 4, "nobody there", RED)
    for policy, note, runs in (
        ("latest", "the default", 1),
        ("skip", "none", 0),
        ("all", "one each", 6),
    ):
        y = line.row(policy, note)
        line.dot(y, 12)
        line.dot(y, 19)
        for number in range(6):
            line.hollow(y, 13 + number)
        for number in range(runs):
            # All at once, for slots of before: in the picture beside each other.
            line.dot(y, 18.5 + number * 0.06)
    for hour in range(12, 20):
        line.down(hour)
    return line.svg()


def places() -> str:
    """Two places of a key, five calls at once, and one of another key."""
    line = Timeline("Two places of a key, and five calls at once", 0, 5)
    called = line.row("called", "customer:4, five")
    for number in range(5):
        line.dot(called, number * 0.09, QUIET)
    for label, runs in (
        ("place 1", ((0, 1.2), (1.2, 2.9), (2.9, 4.2))),
        ("place 2", ((0, 2), (2, 3.1))),
    ):
        y = line.row(label)
        for start, end in runs:
            line.bar(y, start, end - 0.06)
    other = line.row("place 1", "customer:5")
    line.bar(other, 0.5, 1.6, PALE)
    for hour in (1.2, 2, 2.9):
        line.down(hour)
    return line.svg()


def pictures() -> dict[str, str]:
    """Return the pictures by their file names."""
    return {
        "coalescing.svg": coalescing(),
        "misfire.svg": missed(),
        "places.svg": places(),
    }
