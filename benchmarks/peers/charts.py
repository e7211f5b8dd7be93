"""Charts of the results, as SVG: one bar for each system, the longest the best."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

from .catalogue import PEERS
from .figures import WORKLOADS
from .tables import medians, number

if TYPE_CHECKING:
    from pathlib import Path

#: Okabe and Ito's colours, which everybody tells apart; readable on light and on dark.
COLOURS = {
    "cq": "#009e73",
    "limit": "#999999",
    "durable": "#0072b2",
    "other": "#e69f00",
}
WORDS = {
    "cq": "cq",
    "limit": "the limit: cq's statements alone",
    "durable": "tasks or outcomes in the database",
    "other": "all in Redis",
}
GREY = "#808080"

#: Which figure of a workload is drawn, and how its file is called.
CHARTS = {
    "drain1": ("rate", "drain1"),
    "drain2": ("rate", "drain2"),
    "writes2": ("rate", "writes2"),
    "enqueue": ("rate", "enqueue"),
    "bulk": ("rate", "bulk"),
    "latency": ("start_p50", "latency"),
    "fanout": ("seconds_1000", "fanout"),
    "idle": ("memory", "idle"),
}

mpl.rcParams.update(
    {
        # Text stays text, and two runs of equal results give equal files.
        "svg.fonttype": "none",
        "svg.hashsalt": "cq",
        "font.family": "sans-serif",
        "text.color": GREY,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
    }
)


def colour(name: str) -> str:
    return COLOURS[_group(name)]


def _group(name: str) -> str:
    peer = PEERS[name]
    if peer.kind != "peer":
        return peer.kind
    return "durable" if peer.durable else "other"


def draw(found: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write a file for each workload that has figures; return their names."""
    files: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for workload, (key, name) in CHARTS.items():
        values = {
            system: figures[key]
            for system, figures in medians(found, workload).items()
            if key in figures
        }
        if values:
            files[workload] = f"{name}.svg"
            svg = _bars(workload, key, values)
            (folder / files[workload]).write_text(svg)
    return files


def _bars(workload: str, key: str, values: dict[str, float]) -> str:
    figure = WORKLOADS[workload].figures[key]
    best_last = sorted(values, key=values.__getitem__, reverse=figure.better == "less")
    # Logarithmic where a bar could not be seen else; the numbers stand at the bars.
    wide = max(values.values()) > 30 * min(values.values())
    canvas, axes = plt.subplots(figsize=(8, 0.9 + 0.33 * len(values)))
    bars = axes.barh(
        [PEERS[name].title for name in best_last],
        [values[name] for name in best_last],
        color=[colour(name) for name in best_last],
    )
    axes.bar_label(bars, [number(values[name]) for name in best_last], padding=4)
    axes.margins(x=0.14)
    axes.spines[["top", "right"]].set_visible(False)
    if wide:
        axes.set_xscale("log")
    scale = ", logarithmic" if wide else ""
    axes.set_xlabel(f"{figure.what}, {figure.unit} ({figure.better} is better{scale})")
    shown = {_group(name) for name in best_last}
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=COLOURS[group], label=WORDS[group])
        for group in COLOURS
        if group in shown
    ]
    canvas.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False)
    output = io.StringIO()
    canvas.savefig(
        output,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        metadata={"Date": None, "Creator": None},
    )
    plt.close(canvas)
    lines = output.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"
