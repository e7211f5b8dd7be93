"""The word of a function that it has begun: a file by its task's id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: The variable with the folder, where somebody looks for it.
FOLDER = "CQ_TEST_BEGUN"


def say(cqt: Any) -> None:
    if folder := os.environ.get(FOLDER):
        Path(folder, str(cqt.id)).touch()
