"""The system checks of where tasks are defined: a worker has to import them as well."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.urls import get_resolver

from cq.definitions import registry

from . import autodiscovery

#: Parts of dotted names that tests have; the tasks in them are run where they are made.
_TESTS = frozenset({"test", "tests", "conftest"})
#: Names of tasks that a message tells, of one module.
_MOST_NAMES = 3


@register("cq")
def check_task_modules(**kwargs: Any) -> list[CheckMessage]:
    """cq.E007: a module of CQ_TASK_MODULES does not exist."""
    return [
        Error(
            f"CQ_TASK_MODULES lists {name!r}, and there is no such module.",
            hint="Correct its dotted name, or remove it: its tasks run nowhere.",
            id="cq.E007",
        )
        for name in autodiscovery.missing
    ]


@register("cq")
def check_unreachable_tasks(**kwargs: Any) -> list[CheckMessage]:
    """cq.W009: tasks that the site can enqueue, and no worker knows."""
    with contextlib.suppress(Exception):  # Django's own check says what is wrong there
        _ = get_resolver().url_patterns  # imports the site's views
    found: dict[str, list[str]] = defaultdict(list)
    for name in registry.names_defined_late():
        module = registry.get(name).function.__module__
        if not _is_of_no_site(module):
            found[module].append(name)
    return [
        Warning(
            f"No worker imports {module!r}, so none will run {_told(names)}.",
            hint=(
                f"Add {module!r} to CQ_TASK_MODULES, import it in the tasks.py of an "
                "app, or move its tasks there."
            ),
            id="cq.W009",
        )
        for module, names in sorted(found.items())
    ]


def _is_of_no_site(module: str) -> bool:
    """Tell whether a module is a script or a test, which runs its tasks itself."""
    parts = module.split(".")
    return module == "__main__" or any(
        part in _TESTS or part.startswith("test_") for part in parts
    )


def _told(names: list[str]) -> str:
    told = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{told} and {more} more" if more > 0 else told
