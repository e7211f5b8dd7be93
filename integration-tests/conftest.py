import cq_backends
import pytest


def pytest_configure(config: pytest.Config) -> None:
    cq_backends.install(config)
