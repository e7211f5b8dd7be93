from __future__ import annotations

from typing import TYPE_CHECKING

import backend_plugin
import pytest
from browsing import asgi, browser, data, expect, site  # noqa: F401
from examples import Site
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.made(tmp_path_factory.mktemp("template") / "site")
    yield made
    made.close()


@pytest.fixture
def project(template: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A newcomer's project, made as the README says, on the database of this run."""
    copy = template.copied(tmp_path_factory.mktemp("copy") / "site")
    yield copy
    copy.close()
