from __future__ import annotations

from typing import TYPE_CHECKING

import backend_plugin
import pytest

from cq_channels.child.shared_page import SharedPage

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)


@pytest.fixture
def page() -> Iterator[SharedPage]:
    made = SharedPage.create()
    yield made
    made.close()
