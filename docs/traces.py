"""Draws the picture of tracing.md: one trace, from a click to the last task it set off."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

INK, QUIET, PAPER, LINE = "#1f2328", "#6b7280", "#ffffff", "#e5e7eb"
VIEW, SEND, PROCESS, FAILED = "#6b7280", "#d9822b", "#1d6fd1", "#c2410c"
#: Pixels. The bars stand right of the names, over LAST milliseconds.
NAMES, WIDTH, ROW, HEAD, INDENT = 330, 780, 30, 34, 16
LAST, STEP = 500, 100


class Span(NamedTuple):
    """A span: how deep it is in the trace, and its milliseconds."""

    depth: int
    name: str
    note: str
    start: float
    end: float
    colour: str


SPANS = (
    Span(0, "POST /pay", "the view", 0, 62, VIEW),
    Span(1, "send default", "until the commit", 34, 58, SEND),
    Span(2, "process default", "order_paid", 74, 228, PROCESS),
    Span(3, "send mail", "", 120, 224, SEND),
    Span(4, "process mail", "receipt, attempt 1", 238, 305, FAILED),
    Span(4, "process mail", "receipt, attempt 2", 405, 470, PROCESS),
)


def _x(moment: float) -> float:
    return round(NAMES + moment / LAST * (WIDTH - NAMES - 24), 1)


def _row(number: int, span: Span) -> list[str]:
    middle = HEAD + number * ROW + ROW // 2
    left, start = 14 + span.depth * INDENT, _x(span.start)
    parts = [
        f'<rect x="{start}" y="{middle - 8}" width="{round(_x(span.end) - start, 1)}" '
        f'height="16" rx="3" fill="{span.colour}"/>',
        f'<text x="{left}" y="{middle + 4}" font-size="13" fill="{INK}">'
        f"{escape(span.name)} "
        f'<tspan font-size="11" fill="{QUIET}">{escape(span.note)}</tspan></text>',
    ]
    if span.colour == FAILED:
        parts.append(
            f'<text x="{_x(span.end) + 6}" y="{middle + 4}" font-size="11" '
            f'fill="{FAILED}">TimeoutError</text>'
        )
    return parts


def trace() -> str:
    """Return the spans below each other, as Jaeger and Grafana show them."""
    height = HEAD + len(SPANS) * ROW + 12
    parts: list[str] = []
    for moment in range(0, LAST + 1, STEP):
        x = _x(moment)
        parts += [
            f'<line x1="{x}" x2="{x}" y1="{HEAD - 8}" y2="{height - 10}" '
            f'stroke="{LINE}"/>',
            f'<text x="{x}" y="20" font-size="11" text-anchor="middle" fill="{QUIET}">'
            f"{moment} ms</text>",
        ]
    for number, span in enumerate(SPANS):
        parts += _row(number, span)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" '
            'font-family="system-ui, sans-serif">',
            "<title>One trace: a view, its task, and a subtask that is tried twice"
            "</title>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def pictures() -> dict[str, str]:
    """Return the pictures by their file names."""
    return {"trace.svg": trace()}
