"""What was measured, as rows, as a table, and as JSON."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import django

from .figures import BENCHMARKS, Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .servers import Servers

HEADS = ("benchmark", "what", "median", "min - max", "aim", "verdict")
#: Columns of a table that is written to a file or a pipe.
WIDTH = 120


@dataclass(frozen=True)
class Row:
    """A figure with its values, one a round."""

    benchmark: str
    key: str
    figure: Figure
    values: list[float]

    @property
    def verdict(self) -> str:
        met = self.figure.met(median(self.values))
        if met is None:
            return ""
        if {self.figure.met(value) for value in self.values} == {met}:
            return "met" if met else "missed"
        return "met, not always" if met else "missed, not always"

    def cells(self) -> tuple[str, ...]:
        figure, values = self.figure, self.values
        aim = "" if figure.aim is None else f"{figure.reach} {_number(figure.aim)}"
        ends = f"{_number(min(values))} - {_number(max(values))}"
        spread = ends if len(values) > 1 else ""
        middle = f"{_number(median(values))} {figure.unit}"
        return self.benchmark, figure.what, middle, spread, aim, self.verdict

    def as_dict(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "figure": self.key,
            "what": self.figure.what,
            "unit": self.figure.unit,
            "aim": self.figure.aim,
            "reach": None if self.figure.aim is None else self.figure.reach,
            "median": median(self.values),
            "values": self.values,
            "verdict": self.verdict or None,
        }


def rows(values: dict[str, dict[str, list[float]]]) -> list[Row]:
    """Return a row for each figure: `values` by benchmark and key, one a round."""
    return [
        Row(name, key, BENCHMARKS[name].figures[key], found)
        for name, figures in values.items()
        for key, found in figures.items()
    ]


def machine(servers: Servers) -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "processors": f"{os.cpu_count()} x {_processor()}",
        "Python": platform.python_version(),
        "Django": django.get_version(),
        **servers.versions(),
    }


def _processor() -> str:
    """Return what Linux calls it; elsewhere its kind."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def show(
    found: Sequence[Row], machine: dict[str, str], *, rounds: int, quick: bool
) -> None:
    """Print the table, with rich where that is installed."""
    about = "; ".join(f"{name} {value}" for name, value in machine.items())
    size = f"{rounds} round{'s' if rounds > 1 else ''}"
    if quick:
        size += ", quick: too short to quote"
    cells = [row.cells() for row in found]
    try:
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        _show_plain(cells)
        print(f"\n{about}\n{size}")
        return
    table = Table()
    for head in HEADS:
        table.add_column(head, justify="right" if head in HEADS[2:5] else "left")
    colours = {"met": "green", "missed": "red"}
    for row in cells:
        colour = colours.get(row[-1].partition(",")[0], "default")
        table.add_row(*row[:-1], f"[{colour}]{row[-1]}[/]")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    console.print(f"{about}\n{size}", style="dim", highlight=False)


def _show_plain(cells: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(HEADS, *cells, strict=True)]
    for row in (HEADS, *cells):
        line = zip(row, widths, strict=True)
        print("  ".join(f"{cell:<{width}}" for cell, width in line).rstrip())


def _number(value: float) -> str:
    """Three digits: more of them the machine does not repeat."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
