"""The paths that projects, rows and migrations know are there, wherever the code is.

What is written here out of the code's own lists is what they were before the code moved
into folders: a name may be added, none may go.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands
from django.db.migrations.loader import MigrationLoader
from django.utils.module_loading import import_string
from floor.tasks import square

from cq import chain, errors, group
from cq.conf import SETTINGS
from cq.definitions import registry

pytestmark = pytest.mark.backend("sqlite")  # the same on each

ROOT = Path(__file__).resolve().parent.parent
SOURCE = [path.read_text() for path in ROOT.glob("packages/*/src/**/*.py")]

PUBLIC = {
    "cq": """
        AlreadySettled CQError CodecError CycleError DepthError LeaseLost Limit NotFinished
        NotRetryable OutOfTime Revoked RowGone Status TaskFailed TaskFunction TaskTimeout
        UniqueBusy UniqueTaken UnknownTask WaitError WaitTimeout __version__ chain group
        mark task
    """,
    "cq.models": "Depth Edge Figure Mark Task TaskLog Worker schedule_task",
    "cq.errors": """
        AlreadySettled CQError CodecError CycleError DepthError LeaseLost NotFinished
        NotRetryable OutOfTime Revoked RowGone TaskFailed TaskTimeout UniqueBusy UniqueTaken
        UnknownTask WaitError WaitTimeout
    """,
    "cq.status": """
        FAILED FINAL OPEN RETRYABLE SUCCEEDED Status TRANSITIONS Transition
    """,
    "cq.routing": "channel_routing",
    "cq.urls": "app_name urlpatterns",
    "cq.views": "TaskView",
    "cq.backends": "CQBackend TaskExpired TaskIncomplete TaskLost",
    "cq.testing": "assert_enqueued enqueued refute_enqueued run_tasks serial",
    "cq.pytest_plugin": "cq_tasks cq_worker run_tasks",
    "cq.conf": "SETTINGS conf",
    "cq.contrib.otel": "context middleware",
    "cq_channels.routing": "channel_routing",
    "cq_channels.consumers": "TaskConsumer",
    "cq_channels.asgi": "with_worker",
    "cq_channels.wsgi": "post_fork with_worker",
    "cq_scheduler": """
        ALIASES CronError __version__ at coming every next_run pause reading repeat
        resume run_now schedule_task unschedule_task upcoming
    """,
    "cq_scheduler.cron": "ALIASES CronError UnknownZone next_run upcoming",
    "cq_scheduler.models": "RepeatingTask Slot",
    "cq_admin.admin": "RepeatingTaskAdmin TaskAdmin WorkerAdmin register",
}

#: In the column `exception` of rows, and in results of Django's Tasks.
IN_ROWS = [f"cq.errors.{name}" for name in PUBLIC["cq.errors"].split()] + [
    f"cq.backends.{name}" for name in ("TaskExpired", "TaskIncomplete", "TaskLost")
]

IN_MIGRATIONS = {
    "cq.fields.EncodedField",
    "cq.ids.uuid7",
    "cq_scheduler.fields.ArgumentsField",
    "cq_scheduler.fields.site_timezone",
}

TABLES = {
    "cq.Attempt": "cq_attempts",
    "cq.Pause": "cq_pauses",
    "cq.Stack": "cq_stacks",
    "cq.Tag": "cq_tags",
    "cq.SavedView": "cq_views",
    "cq.Debounce": "cq_debounces",
    "cq.Step": "cq_steps",
    "cq.Message": "cq_messages",
    "cq.Lane": "cq_lanes",
    "cq.Limit": "cq_limits",
    "cq.LimitKey": "cq_limit_keys",
    "cq.Place": "cq_places",
    "cq.Depth": "cq_depths",
    "cq.Edge": "cq_edges",
    "cq.Figure": "cq_figures",
    "cq.Mark": "cq_marks",
    "cq.Task": "cq_tasks",
    "cq.TaskLog": "cq_logs",
    "cq.Worker": "cq_workers",
    "cq_scheduler.RepeatingTask": "cq_repeating_tasks",
    "cq_scheduler.Slot": "cq_slots",
}

SETTING_NAMES = """
    ADMIN_AUTOREGISTER CHANNEL_LAYER DATABASE DEPTH_LIMIT DRAIN HEARTBEAT LEASE LOG_LIMIT
    MAX_LOSSES MAX_TREE_DEPTH POLL QUEUES RESULT_TTL RUN_INLINE SCHEDULER SERIAL
    SIZE_LIMIT SWEEP TASK_MODULES UNIQUE_WAIT UNKNOWN_GRACE
"""

LOGGERS = """
    cq.doorbell cq.lease cq.local cq.logs cq.rescue cq.runner cq.scheduler cq.serial
    cq.serving cq.task cq.worker
"""

CHECKS = """
    cq.E001 cq.E002 cq.E003 cq.E004 cq.E005 cq.E006 cq.E007 cq.E020 cq.E021 cq.W001
    cq.W002 cq.W003 cq.W004 cq.W005 cq.W006 cq.W007 cq.W008 cq.W009 cq_channels.E001
    cq_channels.E002 cq_channels.W001 cq_channels.W002 cq_channels.W003 cq_channels.W004
    cq_channels.W005 cq_scheduler.E001 cq_scheduler.W001
"""


def in_source(pattern: str) -> set[str]:
    return {found for text in SOURCE for found in re.findall(pattern, text)}


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_can_be_imported(module: str) -> None:
    found = import_module(module)
    for name in PUBLIC[module].split():
        assert hasattr(found, name), f"{module} has no {name} any more"


@pytest.mark.parametrize("path", IN_ROWS)
def test_a_class_that_rows_name_is_found_by_that_path(path: str) -> None:
    assert issubclass(import_string(path), BaseException)


def test_an_error_is_stored_by_its_public_path() -> None:
    for name in PUBLIC["cq.errors"].split():
        kind = getattr(errors, name)
        assert f"{kind.__module__}.{kind.__qualname__}" == f"cq.errors.{name}"


@pytest.mark.parametrize("path", sorted(IN_MIGRATIONS))
def test_what_migrations_name_is_found(path: str) -> None:
    assert callable(import_string(path))


def test_migrations_name_nothing_else_of_ours() -> None:
    named = set()
    for path in ROOT.glob("packages/*/src/*/migrations/0*.py"):
        named |= set(re.findall(r"\bcq(?:_\w+)?(?:\.\w+){2,}", path.read_text()))
    assert named == IN_MIGRATIONS


def test_the_models_would_write_the_same_paths_into_a_migration() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    state = loader.project_state()
    for label in TABLES:
        model = apps.get_model(label)
        app, name = label.lower().split(".")
        before = state.models[app, name].fields
        for field in model._meta.local_fields:
            path = field.deconstruct()[1]
            assert path == before[field.name].deconstruct()[1], f"{label}.{field.name}"


def test_the_tables_have_their_names() -> None:
    tables = {label: apps.get_model(label)._meta.db_table for label in TABLES}
    assert tables == TABLES


@pytest.mark.parametrize("label", TABLES)
def test_a_model_says_its_public_path(label: str) -> None:
    app, name = label.split(".")
    assert getattr(import_module(f"{app}.models"), name) is apps.get_model(label)


@pytest.mark.django_db
def test_rows_name_three_tasks_of_cq_itself() -> None:
    calls = [square.s(1), square.s(2)]
    assert group(calls).delay().name == "cq.group"
    assert chain(calls).delay().name == "cq.chain"
    assert registry.get("cq.operation").name == "cq.operation"


def test_the_commands_are_those_of_the_packages() -> None:
    ours = {name: app for name, app in get_commands().items() if name.startswith("cq")}
    assert ours == {
        "cq": "cq",
        "cqworker": "cq_channels",
        "cqscheduler": "cq_scheduler",
    }


def test_no_setting_has_gone() -> None:
    assert set(SETTING_NAMES.split()) <= set(SETTINGS)


def test_no_logger_has_gone() -> None:
    assert set(LOGGERS.split()) <= in_source(r'getLogger\("([\w.]+)"\)')


def test_no_check_has_gone() -> None:
    assert set(CHECKS.split()) <= in_source(r'\bid="(\w+\.[EW]\d{3})"')


#: Prints the distributions' packages that are loaded, beside those of the start of Python.
LOADED = """
import sys
before = set(sys.modules)
import cq
loaded = {name.partition(".")[0] for name in sys.modules.keys() - before}
print(*sorted(loaded - sys.stdlib_module_names))
from cq import task
print(*sorted({name.partition(".")[0] for name in sys.modules.keys() - before}))
"""
EXTRAS = {"opentelemetry", "prometheus_client", "sentry_sdk", "structlog"}


def test_import_cq_draws_in_nothing_else() -> None:
    command = [sys.executable, "-c", LOADED]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    by_import, by_task = ended.stdout.splitlines()
    assert by_import == "cq"
    assert not EXTRAS & set(by_task.split())
