"""The examples of the pages on logs and on errors."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from examples import blocks, place

from cq import task
from cq.hooks.carriers import problems
from cq.hooks.middleware import problem
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@task
def logs_and_breaks(cqt: Any) -> None:
    logging.getLogger("shop").info("it runs")
    raise ValueError("broken")


@pytest.fixture
def shop_logs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    (code,) = [b for b in blocks("docs/logging.md") if place(b) == "shop/logs.py"]
    module = types.ModuleType("shop_logs_of_the_page")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def lines(shop_logs: types.ModuleType) -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    handler, root = Keeps(), logging.getLogger()
    handler.setFormatter(shop_logs.JSONFormatter())
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield found
    root.removeHandler(handler)
    root.setLevel(before)


def test_each_line_has_its_task(
    settings: Any, shop_logs: types.ModuleType, lines: list[dict[str, Any]]
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MIDDLEWARE = [f"{shop_logs.__name__}.of_task"]
    handle = logs_and_breaks.delay()

    run_tasks()

    of_shop, of_cq = (line for line in lines if line["logger"] in ("shop", "cq.runner"))
    facts = {
        "task": logs_and_breaks.name,
        "task_id": str(handle.pk),
        "attempt": 1,
        "queue": "default",
    }
    assert of_shop.items() >= (facts | {"root": str(handle.pk)}).items()
    assert of_cq.items() >= facts.items()
    assert "ValueError: broken" in of_cq["traceback"]


@pytest.mark.parametrize("page", ["docs/errors.md", "docs/logging.md"])
def test_the_settings_of_the_pages_can_be_used(page: str) -> None:
    found = [b for b in blocks(page) if place(b) == "settings.py"]
    assert found
    code = (
        "import json, sys\nscope = {}\n"
        "for block in json.load(sys.stdin): exec(block, scope)\n"
        "names = {k: v for k, v in scope.items() if k.startswith('CQ_')}\n"
        "print(json.dumps(names))\n"
    )
    for block in found:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps([block]),
            capture_output=True,
            text=True,
            check=True,
        )
        names = json.loads(ran.stdout)
        for path in names.get("CQ_MIDDLEWARE", []):
            if not path.startswith("shop."):
                assert problem(path) is None
        assert problems(names.get("CQ_CONTEXT", [])) == []
