"""The modules that every process imports for their tasks, once the apps are loaded.

A worker runs what it knows by then. What is imported later, by a URLconf or a view, is
known to the site alone.
"""

from __future__ import annotations

from importlib import import_module

from django.utils.module_loading import autodiscover_modules

from cq.conf import conf, problem

#: Modules of ``CQ_TASK_MODULES`` that do not exist.
missing: list[str] = []


def import_tasks() -> None:
    """Import the ``tasks.py`` of each app, and what ``CQ_TASK_MODULES`` lists.

    An error inside of one of them is raised. A module that does not exist is left to
    the system check, which says more than a traceback.
    """
    autodiscover_modules("tasks")
    missing.clear()
    names = conf.TASK_MODULES
    if problem("TASK_MODULES", names):
        return
    for name in map(str, names):
        if not all(part.isidentifier() for part in name.split(".")):
            missing.append(name)
            continue
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if not _is_part_of(str(error.name), name):
                raise
            missing.append(name)


def _is_part_of(missed: str, name: str) -> bool:
    return name == missed or name.startswith(f"{missed}.")
