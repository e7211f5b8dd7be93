"""How long PostgreSQL lets a session be at one thing before it ends that by itself.

A transaction that is ended so takes an atomic task with it, and its connection.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.db import Error, connections

IDLE = "idle_in_transaction_session_timeout"
TRANSACTION = "transaction_timeout"
STATEMENT = "statement_timeout"

#: Those that end the session, by the state that PostgreSQL then gives.
_ENDED_BY = {"25P03": IDLE, "25P04": TRANSACTION}
_MEANING = {
    IDLE: "how long a transaction may be without a statement",
    TRANSACTION: "how long a transaction may be open",
}


def found(cursor: Any) -> dict[str, float]:
    """Return the limits that the sessions of this database have, in seconds."""
    cursor.execute(
        "SELECT name, setting FROM pg_settings WHERE name IN (%s, %s, %s)",
        [IDLE, STATEMENT, TRANSACTION],
    )
    limits = {name: int(setting) / 1000 for name, setting in cursor.fetchall()}
    return {name: limit for name, limit in limits.items() if limit > 0}


def advice(using: str, error: BaseException) -> str:
    """Say what to do about a limit that has ended a task's session; "" of others."""
    name = _ENDED_BY.get(getattr(error.__cause__, "sqlstate", None) or "")
    if name is None:
        return ""
    connection = connections[using]
    value = ""
    # Best effort: what went wrong is to be told even where this cannot be asked.
    if not connection.in_atomic_block:
        with contextlib.suppress(Error), connection.cursor() as cursor:
            limit = found(cursor).get(name)
            value = f", {limit:g} s here" if limit else ""
    return (
        f"PostgreSQL ended the session by its {name}: {_MEANING[name]}{value}. Nothing "
        "of what the atomic task wrote is kept. Wait for others outside of it, or with "
        f"atomic=False, or raise the limit for the workers' role: ALTER ROLE ... SET {name}."
    )
