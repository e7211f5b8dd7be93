"""Tasks that run at once, where they are made."""

from __future__ import annotations

from django.test import override_settings


def serial() -> override_settings:
    """Run ``.delay()`` in line, at once: as ``with serial():`` or as a decorator.

    Rows are made, and arguments and results go through the codec as ever.
    """
    return override_settings(CQ_SERIAL=True)
