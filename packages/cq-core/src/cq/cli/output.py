"""The output of commands: JSON for programs, tables for people, with rich where it is."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

from cq.status import FAILED, SUCCEEDED, Status
from cq.text import harmless, one_line

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

Row = Sequence[Any]

_STYLES: dict[str, str] = {
    **dict.fromkeys(SUCCEEDED, "green"),
    **dict.fromkeys(FAILED, "red"),
    Status.INCOMPLETE: "dim",  # the task that it began with has a line of its own
    Status.RUNNING: "cyan",
    Status.WAITING: "cyan",
    Status.SUSPENDED: "dim",
    Status.RETRY: "yellow",
}
#: Characters. The terminal breaks what is too long for it: an id that was cut to fit
#: could not be copied.
_ANY_WIDTH = 10_000


class Output:
    """The output of one command.

    as_json: for programs. Else tables, drawn by rich when that is installed and a
    person looks (a terminal), plain otherwise. ``NO_COLOR`` and --no-color are heeded.
    """

    def __init__(
        self, stdout: OutputWrapper, *, as_json: bool = False, color: bool = True
    ) -> None:
        self.stdout = stdout
        self.as_json = as_json
        self.color = color and not os.environ.get("NO_COLOR")
        self.rich = not as_json and stdout.isatty() and _has_rich()

    def json(self, value: Any, *, indent: int | None = 2) -> None:
        """Write a value as JSON; with indent=None on one line."""
        text = json.dumps(value, cls=DjangoJSONEncoder, indent=indent)
        self.stdout.write(text)

    def line(self, text: str = "") -> None:
        """Write one line as it is, but for what a terminal would obey."""
        self.stdout.write(harmless(text))

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write rows under their columns."""
        cells = [[shown(value) for value in row] for row in rows]
        if self.rich:
            self.stdout.write(self._drawn(columns, cells), ending="")
            return
        widths = [
            max(len(row[i]) for row in [list(columns), *cells])
            for i in range(len(columns))
        ]
        for row in [[c.upper() for c in columns], *cells]:
            padded = (
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            self.stdout.write("  ".join(padded).rstrip())

    def fields(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Write names with their values, one a line; what is None is left out."""
        kept = [(name, shown(value)) for name, value in pairs if value is not None]
        width = max(len(name) for name, _ in kept)
        for name, value in kept:
            self.stdout.write(f"{name.ljust(width)}  {value}")

    def _drawn(self, columns: Sequence[str], cells: list[list[str]]) -> str:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=True)
        for row in cells:
            # Text, not str: what stands in a row is no markup.
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        console = Console(
            file=io.StringIO(),
            force_terminal=True,
            no_color=not self.color,
            width=_ANY_WIDTH,
            legacy_windows=False,
        )
        with console.capture() as capture:
            console.print(table)
        return capture.get()


def _has_rich() -> bool:
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True


def shown(value: Any) -> str:
    """Return a value as one line for people."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float):
        return f"{value:.1f}"
    return one_line(str(value))
