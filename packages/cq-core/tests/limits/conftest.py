from __future__ import annotations

import pytest

from cq.limits.claims.claiming import LaneClaims


@pytest.fixture
def claims(worker: int) -> LaneClaims:
    """The claims of a worker from lanes."""
    return LaneClaims("default", worker)
