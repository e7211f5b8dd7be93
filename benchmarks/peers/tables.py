"""Results as tables: medians, and how they stand to cq's."""

from __future__ import annotations

from statistics import median
from typing import Any

from .catalogue import PEERS
from .figures import WORKLOADS, Figure


def medians(found: dict[str, Any], workload: str) -> dict[str, dict[str, float]]:
    """Return the medians of a workload, by system and figure."""
    systems = found["values"].get(workload, {})
    return {
        name: {key: median(values) for key, values in figures.items()}
        for name, figures in systems.items()
        if figures
    }


def rows(found: dict[str, Any], workload: str) -> list[list[str]]:
    """Return heads, then a row for each system: figures and, for one, the ratio."""
    middle = medians(found, workload)
    figures = {
        key: figure
        for key, figure in WORKLOADS[workload].figures.items()
        if any(key in of for of in middle.values())
    }
    single = len(figures) == 1
    heads = ["system", *(f"{f.what}, {f.unit}" for f in figures.values())]
    if single:
        heads += ["lowest - highest", "cq is"]
    table = [heads]
    for name in PEERS:
        if name not in middle:
            continue
        row = [PEERS[name].title]
        row += [number(middle[name][k]) if k in middle[name] else "-" for k in figures]
        if single:
            [(key, figure)] = figures.items()
            values = found["values"][workload][name][key]
            row.append(f"{number(min(values))} - {number(max(values))}")
            row.append(ratio(figure, middle, key, name))
        table.append(row)
    return table


def ratio(
    figure: Figure, middle: dict[str, dict[str, float]], key: str, name: str
) -> str:
    """How many times better cq is; below 1 worse."""
    if name == "cq" or "cq" not in middle:
        return ""
    ours, theirs = middle["cq"][key], middle[name][key]
    better = ours / theirs if figure.better == "more" else theirs / ours
    return f"{number(better)} x"


def number(value: float) -> str:
    """Three digits: more of them the machine does not repeat."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def text(found: dict[str, Any]) -> str:
    """Return all of it for a terminal."""
    lines: list[str] = []
    for workload in found["values"]:
        table = rows(found, workload)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += ["", WORKLOADS[workload].title]
        for row in table:
            cells = [
                f"{cell:<{width}}" if not at else f"{cell:>{width}}"
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
    for what, why in found["missing"].items():
        lines += ["", f"MISSING {what}: {why}"]
    lines += ["", "; ".join(f"{k} {v}" for k, v in found["machine"].items())]
    size = f"{found['rounds']} rounds, {found['minutes']} minutes"
    lines.append(size + (", quick: too short to quote" if found["quick"] else ""))
    return "\n".join(lines)
