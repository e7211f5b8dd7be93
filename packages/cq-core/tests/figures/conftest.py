from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cq.figures.writer import writer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _counted_here_alone() -> Iterator[None]:
    """What other tests have run is not counted here, nor the other way round."""
    writer.counter.reset()
    writer._told = False
    yield
    writer.counter.reset()
