from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _only_record(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.delenv("NO_COLOR", raising=False)
