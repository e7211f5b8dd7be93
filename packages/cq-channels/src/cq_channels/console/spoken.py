"""What ``cqworker --json`` itself says, beside its log, as JSON too."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import OutputWrapper


class JSONWrapper(OutputWrapper):
    """The standard error of a command of which each text is one object on one line."""

    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Any = None, ending: Any = None
    ) -> None:
        """Write a text: of the worker, of Django's checks, or why it does not start."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        found = {"time": now, "event": "worker", "message": msg.strip()}
        super().write(json.dumps(found), lambda line: line)
