"""The databases of sites that tests make: a file of the site, or one on the suite's server."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import cq_backends

#: What leads to a server, whatever the database on it.
_PLACE = ("USER", "PASSWORD", "HOST", "PORT")


def on_postgres() -> bool:
    """Whether this run is one on PostgreSQL."""
    family = cq_backends.FAMILY.get(cq_backends.BACKEND, cq_backends.BACKEND)
    return family in ("postgres", "valkey")


class SiteDatabase:
    """A database of one site on the PostgreSQL of this run; made here, dropped by `drop`.

    template: the one that it is a copy of, which nobody may be connected to.
    """

    def __init__(self, template: SiteDatabase | None = None) -> None:
        self.name = f"site_{uuid4().hex}"
        copied = "" if template is None else f" TEMPLATE {template.name}"
        _execute(f"CREATE DATABASE {self.name}{copied}")

    @property
    def settings(self) -> dict[str, Any]:
        """What its entry in DATABASES has to say beside the engine."""
        return {"NAME": self.name, **_place()}

    def drop(self) -> None:
        _execute(f"DROP DATABASE {self.name} WITH (FORCE)")


def _place() -> dict[str, Any]:
    server = cq_backends.databases()["default"]
    return {key: server[key] for key in _PLACE}


def _execute(statement: str) -> None:
    import psycopg

    place = {key.lower(): value for key, value in _place().items() if value}
    with psycopg.connect(dbname="postgres", autocommit=True, **place) as connection:
        connection.execute(statement)
