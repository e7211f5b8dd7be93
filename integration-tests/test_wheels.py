"""What the five wheels do in environments that hold nothing else.

``hatch run wheels`` builds them; with ``CQ_DIST`` it takes those that lie there. Each
environment has a project of its own in an empty folder, so nothing of the work tree can
stand in for what a wheel forgot.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
import uv

pytestmark = pytest.mark.wheels

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = {
    "cq-core": "cq",
    "cq-channels": "cq_channels",
    "cq-scheduler": "cq_scheduler",
    "cq-admin": "cq_admin",
}

SETTINGS = """
from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
ROOT_URLCONF = "urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).with_name("db.sqlite3"),
        "OPTIONS": {
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
        },
    },
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
"""

TASKS = """
from cq import task


@task
def add(cqt, a, b):
    cqt.log("adding")
    return a + b
"""


# Wheels and environments -------------------------------------------------------------


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("CQ_DIST"):
        return (ROOT / given).resolve()
    target = tmp_path_factory.mktemp("dist")
    for source in [ROOT, *(ROOT / "packages" / name for name in IMPORTS)]:
        run(
            uv.find_uv_bin(),
            "build",
            "--wheel",
            "--out-dir",
            target,
            source,
            cwd=target,
        )
    return target


@pytest.fixture(scope="session")
def wheels(dist: Path) -> dict[str, Path]:
    """Distribution name -> wheel: the five of ours, each once."""
    found = sorted(dist.glob("*.whl"))
    named = {path.name.split("-")[0].replace("_", "-"): path for path in found}
    assert sorted(named) == sorted(["cq", *IMPORTS])
    assert len(found) == len(named), f"more than one version in {dist}"
    return named


class Project:
    """A Django project in an environment of its own."""

    def __init__(self, folder: Path, apps: list[str]) -> None:
        self.folder = folder / "project"
        self.python = folder / "env" / "bin" / "python"
        shop = self.folder / "shop"
        shop.mkdir(parents=True)
        installed = f"INSTALLED_APPS = {[*apps, 'shop']!r}\n"
        (self.folder / "settings.py").write_text(SETTINGS + installed)
        (self.folder / "urls.py").write_text("urlpatterns = []\n")
        (shop / "__init__.py").touch()
        (shop / "tasks.py").write_text(TASKS)

    @property
    def env(self) -> dict[str, str]:
        # Nothing of the environment that runs this test: PYTHONPATH and the like
        # would lend the project what its wheels don't have.
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ
        }
        return kept | {
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(self.folder),
        }

    def run(self, code: str) -> str:
        """What this code prints, run with Django set up."""
        source = "import django\ndjango.setup()\n" + textwrap.dedent(code)
        return run(self.python, "-c", source, cwd=self.folder, env=self.env).strip()

    def run_bare(self, code: str) -> str:
        """What this code prints, run before anything else."""
        source = textwrap.dedent(code)
        return run(self.python, "-c", source, cwd=self.folder, env=self.env).strip()

    def manage(self, *arguments: str) -> str:
        command = [self.python, "-m", "django", *arguments]
        return run(*command, cwd=self.folder, env=self.env)

    def has(self, module: str) -> bool:
        code = (
            f"from importlib.util import find_spec; print(bool(find_spec({module!r})))"
        )
        return self.run_bare(code) == "True"


@pytest.fixture(scope="session")
def make_project(
    tmp_path_factory: pytest.TempPathFactory, dist: Path, wheels: dict[str, Path]
):
    # The names are pinned to these wheels by a constraints file, so that a later cq on
    # the package index can't be what is tested; the requirements stay as users write them.
    versions = {name: path.name.split("-")[1] for name, path in wheels.items()}
    constraints = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    pins = [f"{name}=={version}" for name, version in versions.items()]
    constraints.write_text("\n".join(pins) + "\n")

    def make(requirements: list[str], apps: list[str]) -> Project:
        folder = tmp_path_factory.mktemp("clean")
        tool = uv.find_uv_bin()
        run(tool, "venv", "--python", sys.executable, folder / "env", cwd=folder)
        project = Project(folder, apps)
        options = ["--python", project.python, "--find-links", dist, "-c", constraints]
        # Wheels of one version built twice in a day are two different wheels.
        for name in versions:
            options += ["--refresh-package", name]
        run(tool, "pip", "install", *options, *requirements, cwd=folder)
        run(tool, "pip", "check", "--python", project.python, cwd=folder)
        return project

    return make


# The files ---------------------------------------------------------------------------


def requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    return metadata.get_all("Requires-Dist") or []


def test_no_package_pins_another(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        for requirement in requirements(wheel):
            assert "==" not in requirement.split(";")[0], f"{wheel.name}: {requirement}"


def test_siblings_require_a_range_of_cq_core_and_nothing_else_of_ours(
    wheels: dict[str, Path],
) -> None:
    for name in ("cq-channels", "cq-scheduler", "cq-admin"):
        ours = [r for r in requirements(wheels[name]) if r.startswith("cq")]
        assert ours == ["cq-core<2,>=1.0"]
    assert [r for r in requirements(wheels["cq-core"]) if r.startswith("cq")] == []


def test_the_meta_package_ships_requirements_and_no_code(
    wheels: dict[str, Path],
) -> None:
    with zipfile.ZipFile(wheels["cq"]) as archive:
        outside = [n for n in archive.namelist() if ".dist-info/" not in n]
    assert outside == []
    assert sorted(requirements(wheels["cq"])) == [
        "cq-admin<2,>=1.0",
        "cq-channels[redis]<2,>=1.0",
        "cq-core<2,>=1.0",
        "cq-scheduler<2,>=1.0",
    ]


@pytest.mark.parametrize("name", IMPORTS)
def test_a_wheel_holds_its_package_types_translations_and_licence(
    wheels: dict[str, Path], name: str
) -> None:
    with zipfile.ZipFile(wheels[name]) as archive:
        files = archive.namelist()
    tops = {f.split("/")[0] for f in files if ".dist-info/" not in f}
    assert tops == {IMPORTS[name]}
    assert f"{IMPORTS[name]}/py.typed" in files
    assert f"{IMPORTS[name]}/locale/de/LC_MESSAGES/django.mo" in files
    assert any(f.endswith(".dist-info/licenses/LICENSE") for f in files)


# cq-core alone -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def core(make_project) -> Project:
    project = make_project(["cq-core"], ["cq"])
    project.manage("migrate", "--verbosity", "0")
    return project


def test_cq_core_comes_alone(core: Project) -> None:
    assert core.has("cq")
    present = [
        module
        for module in (*IMPORTS.values(), "channels", "croniter", "redis", "psycopg")
        if module != "cq" and core.has(module)
    ]
    assert present == []


def test_cq_is_importable_before_django_is_set_up(core: Project) -> None:
    code = "import cq; from cq import task, chain, group; print(cq.__version__)"
    assert core.run_bare(code) == "1.0.0"


def test_cq_core_alone_passes_its_checks_and_needs_no_new_migration(
    core: Project,
) -> None:
    core.manage("check", "--fail-level", "WARNING")
    core.manage("makemigrations", "--check", "--dry-run")


def test_cq_core_alone_runs_a_task_and_has_its_result(core: Project) -> None:
    shown = core.run(
        """
        from cq.models import Task
        from shop.tasks import add

        handle = add.delay(2, 3)
        print(handle.wait(timeout=30).result, handle.status)
        row = Task.objects.get(pk=handle.pk)
        print(row.result, row.status == Task.STATUS_COMPLETE, row.format_logs())
        print(add(20, 30), Task.objects.count())
        """
    )
    assert shown.splitlines() == ["5 COMPLETE", "5 True adding", "50 1"]


@pytest.mark.parametrize(
    ("door", "line"),
    [
        ("from cq.routing import channel_routing", "pip install cq-channels"),
        ("from cq.models import schedule_task", "pip install cq-scheduler"),
    ],
)
def test_a_door_to_a_missing_sibling_says_what_to_install(
    core: Project, door: str, line: str
) -> None:
    shown = core.run(
        f"""
        try:
            {door}
        except ImportError as error:
            print(error)
        """
    )
    assert line in shown


# cq-core and cq-scheduler ------------------------------------------------------------


@pytest.fixture(scope="session")
def scheduled(make_project) -> Project:
    # cq-core is not named: the sibling has to bring it.
    project = make_project(["cq-scheduler"], ["cq", "cq_scheduler"])
    project.manage("migrate", "--verbosity", "0")
    return project


def test_the_scheduler_brings_core_and_no_channels(scheduled: Project) -> None:
    assert scheduled.has("cq")
    assert scheduled.has("croniter")
    assert not scheduled.has("channels")
    assert not scheduled.has("cq_channels")
    scheduled.manage("check", "--fail-level", "WARNING")
    scheduled.manage("makemigrations", "--check", "--dry-run")


def test_a_task_can_be_scheduled_without_channels(scheduled: Project) -> None:
    shown = scheduled.run(
        """
        from datetime import datetime, timezone
        from cq.models import schedule_task
        from cq_scheduler.cron import next_run
        from cq_scheduler.models import RepeatingTask
        from shop.tasks import add

        schedule_task(RepeatingTask, "30 7 * * *", add, (2, 3))
        row = RepeatingTask.objects.get()
        print(row.crontab, row.enabled, row.coalesce)
        print(next_run(row.crontab, datetime(2026, 1, 1, 8, tzinfo=timezone.utc), "UTC"))
        """
    )
    assert shown.splitlines() == ["30 7 * * * True True", "2026-01-02 07:30:00+00:00"]


# Everything, through cq --------------------------------------------------------------


@pytest.fixture(scope="session")
def everything(make_project) -> Project:
    apps = [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "channels",
        "cq",
        "cq_channels",
        "cq_scheduler",
        "cq_admin",
    ]
    project = make_project(["cq"], apps)
    project.manage("migrate", "--verbosity", "0")
    return project


def test_cq_brings_all_of_it(everything: Project) -> None:
    wanted = (*IMPORTS.values(), "channels", "channels_redis", "croniter")
    assert [module for module in wanted if not everything.has(module)] == []
    everything.manage("makemigrations", "--check", "--dry-run")


def test_both_doors_are_open(everything: Project) -> None:
    shown = everything.run(
        """
        from cq.models import schedule_task
        from cq.routing import channel_routing

        print(callable(schedule_task), "cq-tasks" in channel_routing)
        """
    )
    assert shown == "True True"


def test_a_worker_runs_what_the_site_recorded(everything: Project) -> None:
    made = everything.run(
        "from shop.tasks import add; t = add.delay(2, 3); print(t.pk, t.status)"
    )
    key, status = made.split()
    assert status == "QUEUED"
    log = everything.folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [everything.python, "-m", "django", "cqworker"],
            cwd=everything.folder,
            env=everything.env,
            stdout=output,
            stderr=output,
        )
    try:
        # Status and result are printed, not waited for beyond a time: if the worker
        # fails, its log below says more than a WaitTimeout would.
        shown = everything.run(
            f"""
            import contextlib
            from cq import WaitTimeout
            from cq.models import Task

            handle = Task.objects.get(pk={key!r})
            with contextlib.suppress(WaitTimeout):
                handle.wait(timeout=30)
            print(handle.status, handle.result)
            """
        )
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(timeout=30)
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
    assert (shown, status) == ("COMPLETE 5", 0), log.read_text()


def test_the_environments_are_not_the_one_that_runs_this(core: Project) -> None:
    where = core.run_bare("import cq; print(cq.__file__)")
    assert Path(where).is_relative_to(core.folder.parent / "env")
    assert shutil.which("python", path=str(core.python.parent)) == str(core.python)
