"""What a page asks of the database, for the tests that say how much that may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What begins and ends things, and sets the limit of time: by the session on MariaDB.
FRAME = (
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "SELECT set_config",
    "SET LOCAL",
    "SET SESSION",
    "SELECT @@SESSION",
)


def questions(sent: Iterable[str]) -> list[str]:
    """Return those of the statements that ask for something, without their frame."""
    return [sql for sql in sent if not sql.startswith(FRAME)]
