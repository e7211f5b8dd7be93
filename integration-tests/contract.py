"""The contract between the distributions: what each sibling uses of cq-core.

Read from the source of the siblings: `from cq.module import name`, and of what was
imported `module.name` and `name.attribute`. What they do with an object that they were
given (the methods of a Lease) is not seen here; for that `hatch run pinned:test` runs
each sibling on the wheel of cq-core.

    hatch run contract           add what is used and not written down
    hatch run contract --anew    and leave out what nobody uses any more: before the
                                 first release, and for a new major version
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "packages" / "cq-core" / "src"
FILE = ROOT / "integration-tests" / "contract.toml"
SIBLINGS = ("cq_admin", "cq_channels", "cq_scheduler")
HEADER = """\
# What each sibling uses of cq-core. Within 1.x none of it may go: siblings of other
# versions import it. Written by `hatch run contract`; CONTRIBUTING.md says more.
"""

#: By module of cq: names in it, and what is used of those, as "name.attribute".
Names = dict[str, set[str]]


def used_by(sibling: str) -> Names:
    """Return what the source of a sibling uses."""
    found: Names = defaultdict(set)
    [source] = ROOT.glob(f"packages/*/src/{sibling}")
    for path in source.rglob("*.py"):
        for module, names in used_in(path.read_text()).items():
            found[module] |= names
    return found


def used_in(source: str) -> Names:
    """Return what a file uses."""
    reader = _Reader()
    reader.read(ast.parse(source))
    return reader.found


class _Reader(ast.NodeVisitor):
    """The imports of one file, and what is asked of them."""

    def __init__(self) -> None:
        self.found: Names = defaultdict(set)
        #: By the name in this file: what it stands for, as a module and what is in it.
        self.imported: dict[str, tuple[str, list[str]]] = {}
        #: Of the functions around: names that stand for something of their own.
        self.hidden: list[set[str]] = []

    def read(self, tree: ast.Module) -> None:
        # First, for an import at the end of a file or in a function counts, too.
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level:
                for name in node.names:
                    self._import(name.asname or name.name, f"{node.module}.{name.name}")
            elif isinstance(node, ast.Import):
                for name in node.names:
                    if name.asname:
                        self._import(name.asname, name.name)
                    else:
                        self._import(name.name.partition(".")[0])
        self.visit(tree)

    def _import(self, here: str, path: str | None = None) -> None:
        path = path or here
        if path.partition(".")[0] == "cq":
            self.imported[here] = _parts(path)
            self._note(*self.imported[here])

    def _note(self, module: str, names: list[str]) -> None:
        if names:
            self.found[module] |= {names[0], ".".join(names[:2])}

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.visit(inner)
        elif inner.id in self.imported and not any(
            inner.id in names for names in self.hidden
        ):
            module, names = self.imported[inner.id]
            self._note(*_parts(".".join([module, *names, *attributes])))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        own = {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
        own |= {
            name.id
            for name in ast.walk(node)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        self.hidden.append(own)
        self.generic_visit(node)
        self.hidden.pop()

    visit_AsyncFunctionDef = visit_FunctionDef


def _parts(path: str) -> tuple[str, list[str]]:
    """Return the module that a dotted path leads to, and what is asked for in it."""
    module, *rest = path.split(".")
    while rest and _is_module(f"{module}.{rest[0]}"):
        module = f"{module}.{rest.pop(0)}"
    return module, rest


def _is_module(name: str) -> bool:
    path = CORE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_there(module: str, name: str) -> bool:
    """Tell whether cq-core has this name."""
    try:
        value: Any = import_module(module)
    except ModuleNotFoundError:
        return False
    for part in name.split("."):
        if part in getattr(value, "__annotations__", {}):
            return True
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def written() -> dict[str, Names]:
    """Return what is written down, by sibling."""
    if not FILE.exists():
        return {sibling: {} for sibling in SIBLINGS}
    return {
        sibling: {module: set(names) for module, names in modules.items()}
        for sibling, modules in tomllib.loads(FILE.read_text()).items()
    }


def write(contract: dict[str, Names]) -> None:
    """Write it down: sorted, a name a line."""
    lines = [HEADER]
    for sibling, modules in sorted(contract.items()):
        lines.append(f"[{sibling}]")
        for module, names in sorted(modules.items()):
            lines.append(f'"{module}" = [')
            lines += [f'  "{name}",' for name in sorted(names)]
            lines.append("]")
        lines.append("")
    FILE.write_text("\n".join(lines))


def main(arguments: list[str]) -> None:
    if arguments not in ([], ["--anew"]):
        sys.exit(f"{' '.join(arguments)!r} is not understood; there is only --anew")
    contract = {sibling: dict(used_by(sibling)) for sibling in SIBLINGS}
    if not arguments:
        for sibling, modules in written().items():
            for module, names in modules.items():
                used = contract[sibling].setdefault(module, set())
                used |= names
    write(contract)
    for sibling, modules in contract.items():
        count = sum(map(len, modules.values()))
        print(f"{sibling}: {len(modules)} modules, {count} names")


if __name__ == "__main__":
    main(sys.argv[1:])
