from __future__ import annotations

from typing import TYPE_CHECKING

import backend_plugin
import pytest
from asgiref.sync import sync_to_async
from bells import Bell
from django.db import connections

from cq.workers import doorbell
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)


@pytest.fixture
async def closing() -> AsyncIterator[None]:
    """Close what the thread behind `sync_to_async` has opened."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def worker(db: None) -> Iterator[int]:
    """The id of a worker that is alive."""
    lease = Lease("default", "test")
    lease.register()
    yield lease.worker
    lease.close()


@pytest.fixture
def bell() -> Iterator[Bell]:
    """A bell that is rung, beside others."""
    made = Bell()
    doorbell.register(made)
    yield made
    doorbell.unregister(made)
