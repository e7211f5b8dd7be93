"""The examples of the pages: cut out, put into a site, and run as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from site_databases import SiteDatabase, on_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
#: Seconds for one command of a site.
PATIENCE = 120

#: Runs a piece of code line by line. A comment behind a value is what it has to be.
CHECK = r"""
import ast, re, sys
source = sys.stdin.read()
lines, scope = source.splitlines(), {}
for node in ast.parse(source).body:
    comment = re.match(r"\s*#\s*(.*)", lines[node.end_lineno - 1][node.end_col_offset:])
    code = ast.get_source_segment(source, node)
    if not isinstance(node, ast.Expr) or comment is None:
        exec(code, scope)
        continue
    found = eval(code, scope)
    try:
        # What follows a comma or a colon is said to the reader.
        wanted = ast.literal_eval(re.split(r"[:,;] (?=[a-z])", comment[1])[0])
    except (ValueError, SyntaxError):
        continue
    assert found == wanted, f"{code} is {found!r}, but the page says {wanted!r}"
"""


def blocks(page: str, language: str = "python") -> list[str]:
    """Return the pieces of code of a page, in its order."""
    text = (ROOT / page).read_text()
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def place(block: str) -> str:
    """Return the file that a block says it belongs to, or an empty text."""
    found = re.match(r"# ([\w/]+\.py)\n", block)
    return found[1] if found else ""


class Site:
    """A project in a folder of its own, as the README has it made.

    database: where it is not SQLite's file in that folder.
    """

    def __init__(self, folder: Path, database: SiteDatabase | None = None) -> None:
        self.folder = folder
        self.database = database

    @classmethod
    def made(cls, folder: Path) -> Site:
        """Make it from the lines of the README, those for the database of this run."""
        site = cls(folder, SiteDatabase() if on_postgres() else None)
        folder.mkdir()
        site.run(sys.executable, "-m", "django", "startproject", "site1", ".")
        site.manage("startapp", "shop")
        readme = (ROOT / "README.md").read_text()
        apps = re.search(r'(?m)^    ("cq", .*"shop",)$', readme)
        entry = " = " if site.database else '["OPTIONS"] = '
        options = re.search(
            rf'(?ms)^    (DATABASES\["default"\]{re.escape(entry)}.*?^    \}})$', readme
        )
        assert apps, "README.md has no line of apps to add"
        assert options, "README.md has no options of the database"
        settings = folder / "site1" / "settings.py"
        text = settings.read_text().replace(
            "INSTALLED_APPS = [", f"INSTALLED_APPS = [{apps[1]}"
        )
        settings.write_text(text + "\n" + re.sub(r"(?m)^    ", "", options[1]) + "\n")
        site._name_database()
        site.manage("migrate", "--verbosity=0")
        return site

    def copied(self, folder: Path) -> Site:
        shutil.copytree(self.folder, folder)
        own = None if self.database is None else SiteDatabase(template=self.database)
        site = Site(folder, own)
        site._name_database()
        return site

    def _name_database(self) -> None:
        """Put that of the test in the place of the one that the page names."""
        if self.database is not None:
            self.set(f'DATABASES["default"] |= {self.database.settings!r}')

    def close(self) -> None:
        if self.database is not None:
            self.database.drop()

    def set(self, lines: str) -> None:
        """Add lines to its settings."""
        settings = self.folder / "site1" / "settings.py"
        settings.write_text(f"{settings.read_text()}\n{lines}\n")

    def put(self, block: str) -> None:
        """Add a block to the file that it names."""
        path = self.folder / place(block)
        if path.name == "models.py" or not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
        else:
            path.write_text(path.read_text() + "\n\n" + block)

    def mend(self, path: str, name: str, block: str) -> None:
        """Put a task in the place of the one of that name."""
        file = self.folder / path
        before, found, after = file.read_text().partition(f"@task\ndef {name}(")
        assert found, f"{path} has no task {name}"
        new = block.partition("\n")[2]
        file.write_text(f"{before}{new}\n\n{after[after.index('@task') :]}")

    def check(self, block: str) -> str:
        """Run a block in the shell of the site; what it printed."""
        return self.manage("shell", "--command", CHECK, given=block)

    def manage(self, *arguments: str, given: str = "") -> str:
        return self.run(sys.executable, "manage.py", *arguments, given=given)

    def run(self, *command: str, given: str = "") -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(),
            input=given,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{given}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def worker(self, *flags: str) -> Iterator[None]:
        """Run a worker meanwhile, once it is ready; what it prints goes to ``worker.log``."""
        log = self.folder / "worker.log"
        with log.open("a") as output:
            before = log.stat().st_size
            worker = subprocess.Popen(
                [sys.executable, "manage.py", "cqworker", "--no-reload", *flags],
                cwd=self.folder,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                # The pages have few seconds for a result, which are not to start it.
                end = time.monotonic() + PATIENCE
                while "cqworker of " not in (
                    said := log.read_bytes()[before:].decode()
                ):
                    assert worker.poll() is None, said
                    assert time.monotonic() < end, f"no worker is ready\n{said}"
                    time.sleep(0.05)
                yield
            finally:
                worker.terminate()
                worker.wait(PATIENCE)
        assert worker.returncode == 0, log.read_text()


def environment() -> dict[str, str]:
    """Return the environment of a shell: nothing of the settings of the tests."""
    strange = ("CQ_", "DJANGO_", "PYTHONPATH")
    return {k: v for k, v in os.environ.items() if not k.startswith(strange)}
