"""The modes: how tasks run in a test, by its marker or by the fixtures that it names."""

from __future__ import annotations

from typing import Any

import pytest

MARKER = "cq"
#: By mode: the settings that make it. A worker's process has its own thread to run on,
#: and who makes tasks only records them.
SETTINGS = {
    "manual": {"CQ_SERIAL": False, "CQ_RUN_INLINE": False},
    "serial": {"CQ_SERIAL": True},
    "worker": {"CQ_SERIAL": False, "CQ_RUN_INLINE": False},
}


def is_worker(item: Any) -> bool:
    """Tell whether a test is to have a worker; what else is wrong comes later."""
    marker = item.get_closest_marker(MARKER)
    named = marker is not None and marker.args == ("worker",)
    return named or "cq_worker" in item.fixturenames


def mode_of(item: Any) -> str | None:
    """Return a test's mode; None where nothing names one, and the settings hold.

    Fails the test where its marker makes no sense.
    """
    names = item.fixturenames
    marker = item.get_closest_marker(MARKER)
    mode = None if marker is None else _named(marker)
    if mode is None:
        if "cq_worker" in names:
            mode = "worker"
        elif "run_tasks" in names:
            mode = "manual"
    if mode != "worker" and "cq_worker" in names:
        _fail(f'cq_worker runs the tasks, but the test is marked cq("{mode}")')
    if mode == "worker" and "run_tasks" in names:
        _fail("cq_worker runs the tasks; wait for them by get(), without run_tasks")
    return mode


def _named(marker: pytest.Mark) -> str:
    given = [repr(value) for value in marker.args]
    given += [f"{name}={value!r}" for name, value in marker.kwargs.items()]
    if marker.kwargs or len(given) != 1 or marker.args[0] not in [*SETTINGS]:
        *others, last = (f'"{mode}"' for mode in SETTINGS)
        _fail(
            f"@pytest.mark.cq({', '.join(given)}) has to be given one mode: "
            f"{', '.join(others)} or {last}"
        )
    mode: str = marker.args[0]
    return mode


def _fail(text: str) -> None:
    pytest.fail(text, pytrace=False)
