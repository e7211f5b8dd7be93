"""The suite, once per backend: ``hatch run test``.

Runs pytest with the arguments given, on SQLite, on PostgreSQL, and on PostgreSQL with
Valkey, side by side, or only on the one that ``CQ_TEST_BACKEND`` names, and sums up. It
fails if any of them fails, and if a server could not be started or a test was skipped: a
suite that quietly leaves out what it lacks is green for no reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cq_backends
import django

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5  # pytest's exit status when nothing was collected
#: What every database has to pass: all that writes statements, and real workers.
CONFORMANCE = [
    "packages/cq-core",
    "packages/cq-channels",
    "packages/cq-scheduler",
    "integration-tests/test_worker_process.py",
    "integration-tests/test_ending_tasks.py",
    "integration-tests/test_pooler.py",
    "integration-tests/test_scheduler_process.py",
    "integration-tests/test_supervisor.py",
]
#: What no channel layer can change: on Valkey it would be that of PostgreSQL once more.
BESIDE_THE_LAYER = [
    "integration-tests/test_admin_schedule_page.py",
    "integration-tests/test_admin_schedules.py",
    "integration-tests/test_chaos_verdict.py",
    "integration-tests/test_ending_tasks.py",
    "integration-tests/test_model.py",
    "integration-tests/test_model_columns.py",
    "integration-tests/test_supervisor.py",
]
#: What a run without arguments has, where that is not everything.
WHOLE = {
    "valkey": [
        "packages/cq-channels",
        "integration-tests",
        *(f"--ignore={path}" for path in BESIDE_THE_LAYER),
    ],
    "pgbouncer": CONFORMANCE,
    # Not what a supervisor does, which is three minutes and no SQL of its own; before
    # a pooler it has no locks.
    "postgres14": CONFORMANCE[:-1],
    # What the admin searches for and sorts by is other SQL there.
    "mariadb": [*CONFORMANCE[:-1], "packages/cq-admin"],
}
COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "deselected")


@dataclass
class Outcome:
    backend: str
    status: int
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def trouble(self) -> str:
        if not self.versions:
            return "did not get to run: a server, the settings or the arguments"
        if self.status not in (0, NO_TESTS):
            return f"failed (pytest exit status {self.status})"
        if self.skipped:
            return "tests were skipped"
        return ""

    def __str__(self) -> str:
        counts = [
            f"{self.counts[name]} {name}" for name in COUNTED if self.counts.get(name)
        ]
        line = f"{self.backend:9} {', '.join(counts) or 'no tests'} in {self.seconds:.0f} s"
        on = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [line, f"          {on}"] if on else [line]
        lines += [f"          skipped: {test}" for test in self.skipped]
        if self.trouble:
            lines.append(f"          {self.trouble.upper()}")
        return "\n".join(lines)


def run(backend: str, arguments: list[str]) -> Outcome:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cq-report-") as folder:
        report = Path(folder, "report.json")
        environment = os.environ | {
            "CQ_TEST_BACKEND": backend,
            # Of what -X dev adds, the one thing that is dear, and looks at C alone.
            "PYTHONMALLOC": "default",
            cq_backends.REPORT: str(report),
        }
        # -c: arguments inside one package would else bring that package's settings.
        # -X dev: for pytest itself, not for the workers whose speed it measures.
        command = [sys.executable, "-X", "dev", "-m", "pytest", "-c", "pyproject.toml"]
        command.append("--durations=15")
        with subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as pytest:
            assert pytest.stdout is not None
            for line in pytest.stdout:
                print(f"{backend:8} | {line}", end="", flush=True)
        status = pytest.returncode
        seconds = time.monotonic() - started
        known = json.loads(report.read_text()) if report.exists() else {}
    return Outcome(backend, status, seconds, **known)


def check_versions() -> None:
    """In the matrix: are these the Python and the Django that its name says?"""
    python = "py{}.{}".format(*sys.version_info)
    expected = os.environ.get("CQ_TEST_PYTHON", python)
    if python != expected:
        sys.exit(f"This environment has {python}, not {expected}: hatch env prune")
    series = "{}.{}".format(*django.VERSION)
    expected = os.environ.get("CQ_TEST_DJANGO", series)
    if series != expected:
        sys.exit(f"This environment has Django {series}, not {expected}")


def main(arguments: list[str]) -> int:
    check_versions()
    only = os.environ.get("CQ_TEST_BACKEND")
    backends = [only] if only else list(cq_backends.BACKENDS)
    # Side by side, for half of what they do is to wait for processes.
    with ThreadPoolExecutor(len(backends)) as pool:
        runs = [
            pool.submit(run, name, arguments or WHOLE.get(name, []))
            for name in backends
        ]
    outcomes = [done.result() for done in runs]
    print("\n===== all backends =====")
    for outcome in outcomes:
        print(outcome)
    # One backend may have nothing for `-k notify`; all of them having nothing is a typo.
    empty = [outcome for outcome in outcomes if outcome.status == NO_TESTS]
    if len(empty) == len(outcomes) or (empty and not arguments):
        print("NO TESTS")
        return NO_TESTS
    return 1 if any(outcome.trouble for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
