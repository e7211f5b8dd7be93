from __future__ import annotations

from typing import TYPE_CHECKING

import backend_plugin
import pytest
from processes import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[Workers]:
    """Starts real ``cqworker`` processes; ends what is left of them."""
    started = Workers(tmp_path)
    yield started
    started.end()
