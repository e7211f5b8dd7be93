"""Which modules every process imports, and what the checks say of tasks elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cq.definitions.discovery import autodiscovery, module_checks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = """
from cq import task

@task
def {name}(cqt):
    pass
"""
DJANGOS = """
from importlib import import_module
from cq.django_backend.api import DjangoTask

@import_module(DjangoTask.__module__).task
def {name}():
    pass
"""
SITE = {
    "shop/__init__.py": "",
    "shop/tasks.py": "import shop.by_tasks" + TASK.format(name="in_tasks"),
    "shop/by_tasks.py": TASK.format(name="by_tasks"),
    "shop/models.py": TASK.format(name="in_models"),
    "shop/listed.py": TASK.format(name="listed") + DJANGOS.format(name="listed_too"),
    "shop/urls.py": "import shop.views\nurlpatterns = []\n",
    "shop/views.py": "import shop.jobs, shop.mails, shop.tests.test_jobs",
    "shop/jobs.py": TASK.format(name="job"),
    "shop/mails.py": "".join(DJANGOS.format(name=f"mail_{n}") for n in "abcde"),
    "shop/tests/__init__.py": "",
    "shop/tests/test_jobs.py": TASK.format(name="in_tests"),
}
MANAGE = """
import json
import django
from django.conf import settings
from django.core.checks import run_checks

settings.configure(
    INSTALLED_APPS=["cq", "shop"],
    ROOT_URLCONF="shop.urls",
    TASKS={"default": {"BACKEND": "cq.backends.CQBackend"}},
    CQ_TASK_MODULES=["shop.listed", "shop.gone", "no name", 3],
    USE_TZ=True,
)
django.setup()
from cq import task

@task
def in_main(cqt):
    pass

ours = [m for m in run_checks(tags=["cq"]) if m.id in ("cq.E007", "cq.W009")]
print(json.dumps([[m.id, m.msg, m.hint] for m in ours]))
"""


def test_tasks_that_no_worker_imports_are_named(tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_text(MANAGE)
    for name, text in SITE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)

    ran = subprocess.run(
        [sys.executable, tmp_path / "manage.py"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr == ""
    said = json.loads(ran.stdout)
    assert sorted((id_, message) for id_, message, _ in said) == [
        ("cq.E007", "CQ_TASK_MODULES lists '3', and there is no such module."),
        ("cq.E007", "CQ_TASK_MODULES lists 'no name', and there is no such module."),
        ("cq.E007", "CQ_TASK_MODULES lists 'shop.gone', and there is no such module."),
        (
            "cq.W009",
            "No worker imports 'shop.jobs', so none will run 'shop.jobs.job'.",
        ),
        (
            "cq.W009",
            "No worker imports 'shop.mails', so none will run 'shop.mails.mail_a', "
            "'shop.mails.mail_b', 'shop.mails.mail_c' and 2 more.",
        ),
    ]
    assert all(hint for _, _, hint in said)


@pytest.fixture
def modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    settings.CQ_TASK_MODULES = []
    autodiscovery.import_tasks()


def test_an_error_inside_of_a_module_is_raised(modules: Path, settings: Any) -> None:
    (modules / "cq_broken.py").write_text("import cq_is_not_there")
    settings.CQ_TASK_MODULES = ["cq_broken"]

    with pytest.raises(ModuleNotFoundError, match="cq_is_not_there"):
        autodiscovery.import_tasks()


def test_a_setting_of_the_wrong_type_is_left_to_its_check(settings: Any) -> None:
    settings.CQ_TASK_MODULES = "shop.jobs"

    autodiscovery.import_tasks()

    assert module_checks.check_task_modules() == []


def test_a_module_that_is_missing_is_an_error(modules: Path, settings: Any) -> None:
    settings.CQ_TASK_MODULES = ["cq_not_there.jobs"]

    autodiscovery.import_tasks()

    [message] = module_checks.check_task_modules()
    assert (message.id, message.is_serious()) == ("cq.E007", True)
