"""Worker processes with settings of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CORE = "channels_redis.core.RedisChannelLayer"
#: Settings under which only the doorbell tells that there is work. A worker whose lease
#: is in doubt claims nothing, and would not look again either.
BELL_ALONE = {"CQ_POLL": 3600, "CQ_LEASE": 3600}


def over(*hosts: Any, **config: Any) -> dict[str, Any]:
    """Return CHANNEL_LAYERS of one layer over these hosts."""
    return {"default": {"BACKEND": CORE, "CONFIG": {"hosts": list(hosts), **config}}}


def flags(directory: Path, extra: str = "", **settings: Any) -> tuple[str, ...]:
    """Write a settings module, and return the flags of a command that reads it.

    extra: source that comes after the settings of the suite, and before `settings`.
    """
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    module = directory / "own_settings.py"
    module.write_text("\n".join(["from settings import *", extra, *lines, ""]))
    return ("--settings", module.stem, "--pythonpath", str(directory))
