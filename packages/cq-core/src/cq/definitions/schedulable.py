"""What people may schedule: who may edit schedules may run code, so it can be limited.

Code is not asked: `@repeat` and `schedule_task` schedule what they like.
"""

from __future__ import annotations

from typing import Any

from cq.conf import conf, function

from . import registry


def schedulable_names(user: Any = None) -> list[str]:
    """Return the names of the tasks that a user may schedule, sorted.

    user: who asks; None for a command, behind which there is no user of the site.
    """
    return [name for name in registry.names() if is_schedulable(name, user)]


def is_schedulable(name: str, user: Any = None) -> bool:
    """Tell whether a user may schedule the registered task of that name."""
    if not registry.get(name).options.schedulable:
        return False
    tells = function("SCHEDULABLE")
    if tells is not None:
        return bool(tells(name, user))
    allowed = conf.SCHEDULABLE
    return allowed is None or name in allowed
