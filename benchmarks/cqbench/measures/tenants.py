"""Tasks of two tenants of django-tenants, against those of a site without any."""

from __future__ import annotations

from cqbench.turns.side import Side
from cqbench.turns.taking import Compared, compare, show

KINDS = {"noop": "no-op tasks, of tenants", "write": "atomic tasks with a row"}


def measure(quick: bool) -> dict[str, float]:
    alone = Side("alone")
    tenants = Side(
        "tenants",
        environment={"DJANGO_SETTINGS_MODULE": "cqbench.tenant_settings"},
        migrate=("migrate_schemas", "--shared", "--run-syncdb", "-v0"),
    )
    found: list[Compared] = []
    values: dict[str, float] = {}
    for kind, what in KINDS.items():
        one = compare(what, kind, alone, tenants, quick=quick)
        found.append(one)
        values |= one.figures(kind)
    show(found)
    return values
