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
#: How a run is interrupted is up to the driver, which is one for PostgreSQL of any kind.
ENDING = "integration-tests/test_ending_tasks.py"
#: Limits are kept by statements that each kind of database has in its own words.
LIMITS = ["integration-tests/test_limits.py", "integration-tests/test_limits_faults.py"]
#: What every database has to pass: all that writes statements, and real workers.
CONFORMANCE = [
    "packages/cq-core",
    "packages/cq-channels",
    "packages/cq-scheduler",
    "integration-tests/test_worker_process.py",
    "integration-tests/test_pooler.py",
    "integration-tests/test_scheduler_process.py",
]
#: What no database can change, though it asks for one: SQLite's run has it, and that of each
#: Python and Django. What asks for none is left out by backend_plugin.py.
BESIDE_THE_DATABASE = [
    "packages/cq-admin/tests/test_hostile_text.py",
    "packages/cq-scheduler/tests/test_cron_fuzz.py",
    "integration-tests/test_admin_hostile_schedules.py",
    "integration-tests/test_architecture.py",
    "integration-tests/test_chaos_steps.py",
    "integration-tests/test_chaos_verdict.py",
    "integration-tests/test_contract.py",
    "integration-tests/test_docs.py",
    "integration-tests/test_durable_pages.py",
    "integration-tests/test_logging_page.py",
    "integration-tests/test_otel.py",
    "integration-tests/test_public_paths.py",
    "integration-tests/test_sentry.py",
    "integration-tests/test_sentry_check_ins.py",
    "integration-tests/test_structlog.py",
    "integration-tests/test_windows.py",
]
#: What reads and writes rows by what others have, and has no SQL of its own.
BESIDE_THE_SQL = [
    f"packages/cq-core/tests/{folder}"
    for folder in (
        "codec",
        "definitions",
        "display",
        "hooks",
        "live",
        "progress",
        "pytest_plugin",
        "serial",
        "testing",
    )
]
#: What neither a pooler nor an older version of the same server changes anything of.
OF_ANY_POSTGRES = [
    f"packages/cq-core/tests/{folder}"
    for folder in ("commands", "django_backend", "metrics")
]
#: What a pooler does not change: which index a statement takes, among very many rows.
BESIDE_THE_POOLER = [
    "packages/cq-core/tests/durable/test_many_suspended.py",
    "packages/cq-core/tests/figures",
    "packages/cq-core/tests/maintenance/test_idle_looks.py",
    "packages/cq-core/tests/test_hot_path.py",
]
#: What a channel layer can change: the rest would be that of PostgreSQL once more.
WITH_A_LAYER = [
    "packages/cq-channels",
    "integration-tests/test_broken_workers.py",
    "integration-tests/test_demo.py",
    "integration-tests/test_deploying.py",
    "integration-tests/test_doorbell_faults.py",
    "integration-tests/test_embedded.py",
    "integration-tests/test_enqueueing.py",
    "integration-tests/test_fork.py",
    "integration-tests/test_latency.py",
    "integration-tests/test_limits.py",
    "integration-tests/test_live.py",
    "integration-tests/test_memory.py",
    "integration-tests/test_operations.py",
    "integration-tests/test_postgres_outage.py",
    "integration-tests/test_prefork.py",
    "integration-tests/test_runworker.py",
    "integration-tests/test_scheduler_process.py",
    "integration-tests/test_stopping.py",
    "integration-tests/test_valkey_outage.py",
    "integration-tests/test_worker_process.py",
]


def without(*paths: str) -> list[str]:
    """Return the options that leave files and folders out."""
    gone = [path for path in paths if not (ROOT / path).exists()]
    if gone:
        raise ValueError(
            f"{', '.join(gone)}: not there; take it out of run_backends.py"
        )
    return [f"--ignore={path}" for path in paths]


OF_A_DATABASE = without(*BESIDE_THE_DATABASE)
#: What a run without arguments has, where that is not everything.
WHOLE = {
    "postgres": ["packages", "integration-tests", *OF_A_DATABASE],
    "valkey": [*WITH_A_LAYER, *OF_A_DATABASE],
    # What a supervisor does is three minutes and no SQL of its own: with locks it is
    # tried on PostgreSQL, and on SQLite without.
    "pgbouncer": [
        *CONFORMANCE,
        *OF_A_DATABASE,
        *without(*BESIDE_THE_SQL, *OF_ANY_POSTGRES, *BESIDE_THE_POOLER),
    ],
    # Of an older version: what it makes of the statements, and one file of real workers.
    "postgres14": [
        "packages/cq-core",
        "packages/cq-scheduler",
        "integration-tests/test_worker_process.py",
        *OF_A_DATABASE,
        *without(*BESIDE_THE_SQL, *OF_ANY_POSTGRES),
    ],
    # What the admin searches for and sorts by is other SQL there.
    "mariadb": [
        *CONFORMANCE,
        ENDING,
        *LIMITS,
        "packages/cq-admin",
        *OF_A_DATABASE,
        *without(*BESIDE_THE_SQL),
    ],
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
        # -X dev: for pytest itself, not for the workers whose speed it measures. Once is
        # enough: it finds what a program does wrong, whatever the database and versions.
        is_first = backend == "sqlite" and "CQ_TEST_DJANGO" not in os.environ
        dev = ["-X", "dev"] if is_first else []
        command = [sys.executable, *dev, "-m", "pytest", "-c", "pyproject.toml"]
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
