"""The parameters of a task, each with what a stored call has for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import Parameter as Declared
from typing import TYPE_CHECKING, Any

from cq.definitions.fitting import BY_POSITION, is_required
from cq.definitions.signatures import encoded
from cq.errors import CodecError
from cq_admin.display.html import visible

if TYPE_CHECKING:
    from cq.definitions.registry import Definition
    from cq.display.redaction import Redaction
    from cq.models import Task

#: Where there is no value at all; None is one.
MISSING: Any = object()


@dataclass(frozen=True)
class Parameter:
    """A parameter, and the JSON of what stands in its place where nothing is typed."""

    declared: Declared
    #: Of its default; MISSING where it has none, or none that can be stored.
    default: Any = MISSING
    #: Of a stored call; MISSING where there is none, or it does not have it.
    stored: Any = MISSING

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def is_required(self) -> bool:
        return is_required(self.declared)

    @property
    def takes_rest(self) -> bool:
        """Whether it takes what no other does: ``*args``, ``**kwargs``."""
        return self.declared.kind in (Declared.VAR_POSITIONAL, Declared.VAR_KEYWORD)

    @property
    def node(self) -> Any:
        """What it has as long as nobody changes it; MISSING for nothing."""
        return self.default if self.stored is MISSING else self.stored

    def shows(self, node: Any, redaction: Redaction) -> bool:
        """Tell whether a value of it may be shown, and all that is in it."""
        try:
            shown = self._redacted(node, redaction)
            # Equal is not enough: 1 is in the place of true where only that is hidden.
            return bool(shown == node and json.dumps(shown) == json.dumps(node))
        except RecursionError:
            return False

    def _redacted(self, node: Any, redaction: Redaction) -> Any:
        kind = self.declared.kind
        if kind is Declared.VAR_KEYWORD and isinstance(node, dict):
            return redaction.kwargs(node)
        if kind is Declared.VAR_POSITIONAL and isinstance(node, list):
            before = sum(p.kind in BY_POSITION for p in redaction.parameters)
            return redaction.args([None] * before + node)[before:]
        return redaction.kwargs({self.name: node})[self.name]

    def is_secret(self, redaction: Redaction) -> bool:
        """Tell whether it is hidden whatever its value is."""
        return not self.takes_rest and not self.shows("a probe", redaction)


class Unreadable(Exception):
    """A stored call that holds no arguments."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of a task, and what of a stored call none of them takes any more."""

    all: list[Parameter]
    left_out: list[str]


def parameters_of(definition: Definition, task: Task | None = None) -> Parameters:
    """Return them, in their order; `task` is the call that is made again.

    Raises Unreadable where it holds no arguments that can be read apart.
    """
    args, kwargs = ([], {}) if task is None else _stored(task)
    found, names = [], dict(kwargs)
    declared = list(definition.signature.parameters.values())
    for one in declared:
        node = MISSING
        if one.kind in BY_POSITION and args:
            node = args.pop(0)
        elif one.kind is Declared.VAR_POSITIONAL:
            node, args = (args or MISSING), []
        elif one.kind is not Declared.VAR_KEYWORD:
            node = names.pop(one.name, MISSING)
        found.append(Parameter(one, _default(one), node))
    rest = [n for n, p in enumerate(found) if p.declared.kind is Declared.VAR_KEYWORD]
    for n in rest:
        found[n] = Parameter(declared[n], stored=_object(names) if names else MISSING)
        names = {}
    return Parameters(found, [*("*" for _ in args), *map(visible, names)])


def _stored(task: Task) -> tuple[list[Any], dict[str, Any]]:
    try:
        args = json.loads(task.stored_text("args"))
        kwargs = json.loads(task.stored_text("kwargs"))
        if isinstance(kwargs, dict) and kwargs.get("$") == "dict":
            kwargs = dict(kwargs["v"])
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise Unreadable from error
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Unreadable
    if not all(isinstance(name, str) for name in kwargs):
        raise Unreadable
    return args, kwargs


def _object(names: dict[str, Any]) -> dict[str, Any]:
    """Return names and values as the codec stores a dict."""
    if "$" not in names:
        return names
    return {"$": "dict", "v": [[name, node] for name, node in names.items()]}


def _default(declared: Declared) -> Any:
    if declared.default is Declared.empty:
        return MISSING
    try:
        text, _kwargs, handles = encoded((declared.default,), {})
    except (CodecError, ValueError):
        return MISSING
    return MISSING if handles else json.loads(text)[0]
