"""Looks at pages: how long each takes, how many statements it asks, and the slowest."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.test import Client


#: Milliseconds above which a statement is named, and characters of it.
SLOW, LONGEST_SQL = 100, 200

#: What it took, and its SQL.
Statement = tuple[float, str]


@dataclass
class Page:
    """A page, and what was found at each look: milliseconds, and statements.

    cpu: the milliseconds that Python worked, which change less with what runs beside.
    """

    label: str
    url: str
    took: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    statements: list[list[Statement]] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return median(self.took)

    def forget(self) -> None:
        """Forget what was found."""
        self.took, self.cpu, self.statements = [], [], []

    @property
    def queries(self) -> int:
        """The most statements of a look, those of the session and the user among them."""
        return max(map(len, self.statements))

    @property
    def slowest(self) -> float:
        """The milliseconds of the slowest statement of a look, as the median of all looks."""
        return median(max(found)[0] for found in self.statements)

    @property
    def slow(self) -> str:
        """The slowest statement of the last look; "" where it is quick enough."""
        took, sql = max(self.statements[-1])
        return " ".join(sql.split())[:LONGEST_SQL] if took > SLOW else ""

    def look(self, client: Client) -> None:
        """Look once more."""
        with _timed() as statements:
            began, worked = time.perf_counter(), time.process_time()
            response = client.get(self.url)
            body = b"".join(response) if response.streaming else response.content
            took = time.perf_counter() - began
            cpu = time.process_time() - worked
        if response.status_code != 200:
            raise RuntimeError(f"{self.url}: {response.status_code} {body[:500]!r}")
        self.took.append(took * 1000)
        self.cpu.append(cpu * 1000)
        self.statements.append(statements)


@contextmanager
def _timed() -> Iterator[list[Statement]]:
    """Note what each statement takes, its rows left out: Django's own log would cost more."""
    found: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            found.append(((time.perf_counter() - began) * 1000, sql))

    with connection.execute_wrapper(note):
        yield found


def table(pages: Iterable[Page]) -> str:
    """Return what was found as a table of Markdown, with the slow statements below it."""
    heads = ("page", "p50, ms", "lowest - highest", "of it Python's CPU", "queries")
    rows = [f"| {' | '.join(heads)} | slowest query, ms |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    slow = []
    for page in pages:
        cells = (
            page.label,
            f"{page.p50:.0f}",
            f"{min(page.took):.0f} - {max(page.took):.0f}",
            f"{median(page.cpu):.0f}",
            str(page.queries),
            f"{page.slowest:.1f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
        if page.slow:
            slow.append(f"- {page.label}: `{page.slow}`")
    return "\n".join([*rows, "", *slow])
