from __future__ import annotations

from typing import TYPE_CHECKING

import backend_plugin
import pytest
from asgiref.sync import sync_to_async
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)


@pytest.fixture
async def closing() -> AsyncIterator[None]:
    """Close what the thread behind `sync_to_async` has opened."""
    yield
    await sync_to_async(connections.close_all)()
