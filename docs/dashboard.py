"""The Grafana dashboard of docs/prometheus, and a picture of it with made-up curves."""

from __future__ import annotations

import json
import math
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

INK, QUIET, PAPER, EDGE = "#1f2328", "#6b7280", "#ffffff", "#d0d7de"
COLOURS = ("#2f6fdb", "#2da05a", "#d9822b", "#c0392b")
#: Grafana divides a row into as many columns.
COLUMNS, HEIGHT = 24, 8
#: Pixels of a panel in the picture.
WIDTH, TALL, GAP, POINTS = 380, 170, 16, 60

_MINE = 'queue=~"$queue"'
_WINDOW = "scalar(max(cq_finished_window_seconds))"
_BAD = f'sum by (queue) (cq_tasks{{status=~"FAILURE|LOST",{_MINE}}})'
_RAN = f'sum by (queue) (cq_tasks{{status=~"COMPLETE|FAILURE|LOST",{_MINE}}})'
_FINAL = "COMPLETE|SKIPPED|FAILURE|INCOMPLETE|LOST|REVOKED|EXPIRED"


def _quantile(share: float, metric: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) ({metric}_bucket{{{_MINE}}}))"


class Panel(NamedTuple):
    """A panel: its title, unit, and queries by what stands in the legend."""

    title: str
    unit: str
    queries: dict[str, str]
    #: What the curves of the picture are called.
    shown: tuple[str, ...]


PANELS = (
    Panel(
        "Queued, by queue",
        "short",
        {"{{queue}}": f'sum by (queue) (cq_tasks{{status="QUEUED",{_MINE}}})'},
        ("default", "mail", "reports"),
    ),
    Panel(
        "Oldest ready task",
        "s",
        {"{{queue}}": f"max by (queue) (cq_oldest_ready_seconds{{{_MINE}}})"},
        ("default", "mail", "reports"),
    ),
    Panel(
        "Workers: alive, and wanted",
        "short",
        {
            "alive": "count(cq_worker_last_seen_seconds < 15) or vector(0)",
            "wanted": f"sum(cq_workers_wanted{{{_MINE}}})",
        },
        ("alive", "wanted"),
    ),
    Panel(
        "Open, by status",
        "short",
        {
            "{{status}}": 'sum by (status) (cq_tasks{status=~"PENDING|RUNNING|RETRY|'
            f'WAITING|SUSPENDED",{_MINE}}})'
        },
        ("PENDING", "RUNNING", "RETRY", "WAITING"),
    ),
    Panel(
        "Finished a minute, by status",
        "short",
        {
            "{{status}}": f'sum by (status) (cq_tasks{{status=~"{_FINAL}",{_MINE}}}) '
            f"/ {_WINDOW} * 60"
        },
        ("COMPLETE", "FAILURE"),
    ),
    Panel(
        "Share of runs that fail",
        "percentunit",
        {"{{queue}}": f"{_BAD} / {_RAN}"},
        ("default", "mail"),
    ),
    Panel(
        "Time until a task starts",
        "s",
        {
            "p50": _quantile(0.5, "cq_wait_seconds"),
            "p95": _quantile(0.95, "cq_wait_seconds"),
        },
        ("p50", "p95"),
    ),
    Panel(
        "Slowest tasks: p95",
        "s",
        {"{{name}}": f"topk(10, {_quantile(0.95, 'cq_task_seconds', 'le, name')})"},
        ("shop.tasks.report", "shop.tasks.fetch", "shop.tasks.mail"),
    ),
    Panel(
        "Busiest tasks: slots kept busy",
        "short",
        {
            "{{name}}": f"topk(10, sum by (name) (cq_task_seconds_gsum{{{_MINE}}})) "
            f"/ {_WINDOW}"
        },
        ("shop.tasks.fetch", "shop.tasks.report", "shop.tasks.mail"),
    ),
    Panel(
        "Counts that end early",
        "short",
        {"{{status}}": "max by (status) (cq_tasks_capped) > 0"},
        (),
    ),
)


def grafana() -> str:
    """Return the dashboard as Grafana imports it."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels: list[dict[str, Any]] = []
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, 3)
        panels.append(
            {
                "id": number + 1,
                "title": panel.title,
                "type": "timeseries",
                "datasource": source,
                "gridPos": {
                    "x": column * COLUMNS // 3,
                    "y": row * HEIGHT,
                    "w": COLUMNS // 3,
                    "h": HEIGHT,
                },
                "fieldConfig": {
                    "defaults": {"unit": panel.unit, "min": 0},
                    "overrides": [],
                },
                "targets": [
                    {
                        "refId": chr(ord("A") + place),
                        "datasource": source,
                        "expr": query,
                        "legendFormat": legend,
                    }
                    for place, (legend, query) in enumerate(panel.queries.items())
                ],
            }
        )
    board = {
        "title": "cq",
        "uid": "cq-tasks",
        "tags": ["cq", "django"],
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "queue",
                    "type": "query",
                    "datasource": source,
                    "query": {"query": "label_values(cq_tasks, queue)", "refId": "Q"},
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                },
            ]
        },
        "panels": panels,
    }
    return json.dumps(board, indent=2) + "\n"


def pictures() -> dict[str, str]:
    """Return the picture of the dashboard by its file name."""
    rows = math.ceil(len(PANELS) / 3)
    width, height = 3 * (WIDTH + GAP) + GAP, rows * (TALL + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" font-family="system-ui, sans-serif" font-size="12">',
        "<title>The dashboard, with made-up curves</title>",
        f'<rect width="{width}" height="{height}" fill="#f6f8fa"/>',
    ]
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, 3)
        x, y = GAP + column * (WIDTH + GAP), GAP + row * (TALL + GAP)
        parts += _drawn(panel, number, x, y)
    return {"metrics-dashboard.svg": "\n".join([*parts, "</svg>"]) + "\n"}


def _drawn(panel: Panel, number: int, x: int, y: int) -> list[str]:
    found = [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{TALL}" rx="6" '
        f'fill="{PAPER}" stroke="{EDGE}"/>',
        f'<text x="{x + 12}" y="{y + 20}" fill="{INK}" font-weight="600">'
        f"{escape(panel.title)}</text>",
    ]
    if not panel.shown:
        found.append(
            f'<text x="{x + WIDTH // 2}" y="{y + TALL // 2}" fill="{QUIET}" '
            'text-anchor="middle">No data</text>'
        )
    left = x + 12
    for place, name in enumerate(panel.shown):
        colour = COLOURS[place]
        top, tall = y + 34, TALL - 68
        step = (WIDTH - 24) / (POINTS - 1)
        heights = [_height(number, place, point) for point in range(POINTS)]
        line = " ".join(
            f"{x + 12 + point * step:.1f},{top + tall * (1 - value):.1f}"
            for point, value in enumerate(heights)
        )
        found.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" '
            'stroke-width="1.5"/>'
        )
        found += [
            f'<circle cx="{left + 4}" cy="{y + TALL - 16}" r="4" fill="{colour}"/>',
            f'<text x="{left + 12}" y="{y + TALL - 12}" fill="{QUIET}">'
            f"{escape(name)}</text>",
        ]
        left += 24 + round((8.2 if name.isupper() else 6.4) * len(name))
    assert all(a <= b for a, b in pairwise((x, left, x + WIDTH + 30))), panel.title
    return found


def _height(panel: int, curve: int, point: int) -> float:
    """Return a made-up height between 0 and 1: a wave of its own, and a hill in each."""
    wave = math.sin(point / (5 + panel % 4) + curve * 2 + panel)
    hill = math.exp(-(((point - 38 - 2 * curve) / 6) ** 2))
    return min(1.0, 0.12 + 0.2 / (curve + 1) + 0.06 * wave + 0.5 * hill / (curve + 1))
