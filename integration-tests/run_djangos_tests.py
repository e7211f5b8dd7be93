"""Django's own tests of its Tasks, run against cq: ``hatch run matrix:django-tasks``.

They come from the sdist of the Django that is installed, which pip fetches and which is
unpacked in a temporary folder. In them cq stands in the places of Django's two backends:
of the one that only keeps what is enqueued, and of the one that runs it at once. What is
left out, and why, says `LEFT_OUT`; all others have to pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings

_IN_MEMORY = (
    "it changes a result in the memory of Django's dummy; cq has none but its rows"
)
_HAS_RESULTS = "it wants get_result() and refresh() to be missing; cq has them"
#: Tests that cq is not run against, each with the reason.
LEFT_OUT = {
    "DummyBackendTestCase.test_refresh_result": _IN_MEMORY,
    "DummyBackendTestCase.test_refresh_result_async": _IN_MEMORY,
    "ImmediateBackendTestCase.test_cannot_get_result": _HAS_RESULTS,
    "ImmediateBackendTestCase.test_cannot_refresh_result": _HAS_RESULTS,
    "ImmediateBackendTestCase.test_cannot_pass_run_after": (
        "it wants `run_after` to be refused; cq starts the task then"
    ),
    "ImmediateBackendTransactionTestCase"
    ".test_doesnt_wait_until_transaction_commit_by_default": (
        "it wants the task to have run before its transaction commits; with cq it starts "
        "at the commit"
    ),
}


def main() -> int:
    if django.VERSION < (6, 0):
        print(f"Django {django.get_version()} has no Tasks of its own: nothing to run.")
        return 0
    with tempfile.TemporaryDirectory(prefix="cq-django-") as temporary:
        folder = Path(temporary)
        if not fetch(folder):
            print("The sdist of this Django could not be had: nothing was run.")
            return os.EX_UNAVAILABLE
        return run(folder)


def fetch(folder: Path) -> bool:
    """Have pip fetch the sdist of this Django; returns whether it could."""
    # The environments have no pip, and uv fetches nothing that it does not install.
    pip = ["uvx", "--quiet", "--python", sys.executable, "pip", "download", "--quiet"]
    which = ["--no-binary", ":all:", "--no-deps", f"django=={django.get_version()}"]
    return not subprocess.run([*pip, *which, "--dest", folder], check=False).returncode


def run(folder: Path) -> int:
    """Run the tests by Django's runner; returns the exit status."""
    sys.path.insert(0, str(unpacked(folder)))
    # Django's backends need no database, so some of its tests call them on an event loop.
    # With a backend that does, Django would refuse that before cq is asked.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    settings.configure(
        SECRET_KEY="only for tests",
        INSTALLED_APPS=["cq", "tasks"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                # A file, since coroutines have a thread and a connection of their own.
                "TEST": {"NAME": folder / "test.sqlite3"},
            }
        },
        TASKS={"default": {"BACKEND": "cq.backends.CQBackend", "QUEUES": []}},
        CQ_RUN_INLINE=False,
    )
    put_in_place()
    django.setup()
    for name, reason in LEFT_OUT.items():
        print(f"left out: {name}: {reason}.")
    return 1 if runner()(interactive=False).run_tests(["tasks"]) else 0


def unpacked(folder: Path) -> Path:
    """Unpack the tests of Tasks; returns the folder that they are imported from."""
    release = f"django-{django.get_version()}"
    with tarfile.open(folder / f"{release}.tar.gz") as archive:
        wanted = [m for m in archive if m.name.startswith(f"{release}/tests/tasks/")]
        archive.extractall(folder, wanted, filter="data")
    return folder / release / "tests"


def put_in_place() -> None:
    """Have cq's backend found under the names of Django's two."""
    from django.tasks.backends import dummy, immediate
    from django.test import override_settings

    from cq.backends import CQBackend

    class Keeping(CQBackend):
        """One that runs nothing, and has what Django's tests ask its dummy for."""

        @property
        def results(self) -> list[Any]:
            from cq.models import Task

            return [self.get_result(task.pk) for task in Task.objects.order_by("pk")]

        def clear(self) -> None:
            from cq.models import Task

            Task.objects.all().delete()

    class AtOnce(CQBackend):
        """One that runs a task where it is enqueued, by ``CQ_RUN_INLINE``."""

        def enqueue(self, *args: Any, **kwargs: Any) -> Any:
            with override_settings(CQ_RUN_INLINE=True):
                return super().enqueue(*args, **kwargs)

    dummy.DummyBackend = Keeping  # type: ignore[misc]
    immediate.ImmediateBackend = AtOnce  # type: ignore[misc]


def runner() -> Any:
    """Return Django's runner, with what its tests need to use a database."""
    from django.test.runner import DiscoverRunner

    class Runner(DiscoverRunner):
        def build_suite(self, *args: Any, **kwargs: Any) -> Any:
            tests = {
                f"{type(test).__name__}.{test._testMethodName}": test
                for test in super().build_suite(*args, **kwargs)
            }
            if unknown := LEFT_OUT.keys() - tests.keys():
                raise SystemExit(f"LEFT_OUT names tests that are not there: {unknown}")
            for test in tests.values():
                type(test).databases = {"default"}
                if hasattr(test, "available_apps"):
                    type(test).available_apps = None
            kept = [test for name, test in tests.items() if name not in LEFT_OUT]
            return self.test_suite(kept)

    return Runner


if __name__ == "__main__":
    sys.exit(main())
