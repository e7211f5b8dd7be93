"""What the siblings use of cq-core is written down, and stays there.

The distributions are released by themselves, with ranges between them: a cq-channels of
1.0 may stand beside a cq-core of 1.5. So within 1.x no name may go that any released
sibling uses. contract.toml has them all.

A name in it that nobody uses any more is no failure: siblings that are released still
use it, so it stays until the next major version. That, and the time before the first
release, is what `hatch run contract --anew` is for.
"""

from __future__ import annotations

import contract
import pytest
from django.apps import apps

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

WRITTEN = contract.written()


@pytest.mark.parametrize("sibling", contract.SIBLINGS)
def test_what_a_sibling_uses_of_cq_is_written_down(sibling: str) -> None:
    known = WRITTEN.get(sibling, {})
    new = [
        f"{module}: {name}"
        for module, names in sorted(contract.used_by(sibling).items())
        for name in sorted(names - known.get(module, set()))
    ]
    assert not new, (
        f"{sibling} uses what contract.toml does not have: {', '.join(new)}. It is a "
        "promise for all of 1.x; if that is meant, write it down by `hatch run contract`"
    )


@pytest.mark.parametrize(
    ("sibling", "module"),
    [(sibling, module) for sibling, modules in WRITTEN.items() for module in modules],
)
def test_what_is_written_down_is_there(sibling: str, module: str) -> None:
    names = sorted(WRITTEN[sibling][module])
    gone = [name for name in names if not contract.is_there(module, name)]
    assert not gone, (
        f"{module} has no {', '.join(gone)} any more, which {sibling} uses, or has used. "
        "Within 1.x none may go: keep the old name beside the new one"
    )


def test_a_worker_finds_the_scheduler_by_djangos_registry() -> None:
    # Siblings don't import each other, so this name is in no import.
    assert callable(apps.get_app_config("cq_scheduler").make_tick_loop)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from cq.conf import conf", {"cq.conf": {"conf"}}),
        ("from cq.conf import conf\nconf.POLL", {"cq.conf": {"conf", "conf.POLL"}}),
        # A module is no name; what is asked for in it is.
        ("from cq.workers import lease", {}),
        (
            "from cq.workers import lease\nlease.Lease().register",
            {"cq.workers.lease": {"Lease"}},
        ),
        ("from cq import lifecycle as l\nl.queue()", {"cq.lifecycle": {"queue"}}),
        ("import cq.ids\ncq.ids.uuid7()", {"cq.ids": {"uuid7"}}),
        ("import cq.ids as ids\nids.uuid7()", {"cq.ids": {"uuid7"}}),
        # No more than one level: that of an attribute's attribute is not ours.
        (
            "from cq.logs import writer\nwriter.writer.close.x",
            {"cq.logs.writer": {"writer", "writer.close"}},
        ),
        # A function's own variable of the same name.
        (
            "from cq.tables.queries import tasks\ndef f(tasks): tasks.append(1)",
            {"cq.tables.queries": {"tasks"}},
        ),
        ("def f():\n  from cq.ids import uuid7", {"cq.ids": {"uuid7"}}),
        ("from cq_channels.apps import x\nfrom os import path\npath.join", {}),
    ],
)
def test_the_source_is_read(source: str, found: contract.Names) -> None:
    assert contract.used_in(source) == found


def test_a_name_that_is_gone_is_missed() -> None:
    assert contract.is_there("cq.conf", "conf.POLL")
    assert not contract.is_there("cq.conf", "conf.POOL")
    assert not contract.is_there("cq.conf", "cnf")
    assert not contract.is_there("cq.config", "conf")
