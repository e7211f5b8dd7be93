"""The demo's site under ASGI, also from where the tests' own settings are."""

import sys
from pathlib import Path

# Before the tests' own settings.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo"))

from asgi import application

__all__ = ["application"]
