"""An export of which two tasks are read at a time."""

from __future__ import annotations

import pytest

from cq_admin.export import walk


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "AT_ONCE", 2)
