import backend_plugin
import pytest


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)
