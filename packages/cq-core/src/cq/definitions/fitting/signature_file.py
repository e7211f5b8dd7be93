"""The file of a release's signatures, and what calls of that release would not fit here.

It is JSON: a list of parameters for the name of each task, as Python has them between the
parentheses: ``order_id``, ``language=`` where there is a default, ``*``, ``/``.
"""

from __future__ import annotations

import json
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.definitions import registry

from .calls import BY_NAME, BY_POSITION, Misfit, is_required

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = 1
_NOT_AT = "is not argument {} any more"


def as_text() -> str:
    """Return the file of this process's tasks."""
    tasks = {
        name: _written(registry.get(name).signature.parameters.values())
        for name in registry.names()
    }
    content = {"format": FORMAT, "release": conf.RELEASE, "tasks": tasks}
    return json.dumps(content, indent=2) + "\n"


def read(text: str) -> dict[str, Signature]:
    """Return the signatures of a file by name; raises ValueError for any other text."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'it has no "format": {FORMAT}')
    tasks = content.get("tasks")
    if not isinstance(tasks, dict):
        raise ValueError('it has no "tasks" by name')
    return {name: _signature(name, words) for name, words in tasks.items()}


def misfits(released: dict[str, Signature]) -> list[tuple[str, Misfit]]:
    """Return what calls of another release would not fit here, by the name of the task."""
    found: list[tuple[str, Misfit]] = []
    known = registry.names(builtin=True)
    for name, before in released.items():
        if name not in known:
            found.append((name, Misfit("", "is no task any more")))
        else:
            now = registry.get(name).signature
            found += [(name, misfit) for misfit in _changes(before, now)]
    return found


def _changes(before: Signature, now: Signature) -> Iterator[Misfit]:
    kinds = {p.kind for p in now.parameters.values()}
    takes_any_position = Parameter.VAR_POSITIONAL in kinds
    takes_any_name = Parameter.VAR_KEYWORD in kinds
    positions = [p.name for p in now.parameters.values() if p.kind in BY_POSITION]
    number = 0
    for old in before.parameters.values():
        new = now.parameters.get(old.name)
        if old.kind in BY_POSITION:
            here = positions[number] if number < len(positions) else None
            number += 1
            if here != old.name and not (here is None and takes_any_position):
                gone = "is no parameter any more"
                yield Misfit(old.name, gone if new is None else _NOT_AT.format(number))
            elif old.kind in BY_NAME and not (_by_name(new) or takes_any_name):
                yield Misfit(old.name, "is not given by name any more")
        elif old.kind is Parameter.KEYWORD_ONLY:
            if not (_by_name(new) or takes_any_name):
                yield Misfit(old.name, "is no parameter any more")
        elif old.kind not in kinds:
            yield Misfit(str(old), "is not taken any more")
    for parameter in now.parameters.values():
        same = before.parameters.get(parameter.name)
        if is_required(parameter) and not (same and is_required(same)):
            yield Misfit(parameter.name, "is required now")


def _by_name(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.kind in BY_NAME


def _written(parameters: Iterable[Parameter]) -> list[str]:
    words: list[str] = []
    before: Any = None
    for parameter in parameters:
        kind = parameter.kind
        if before is Parameter.POSITIONAL_ONLY and kind is not before:
            words.append("/")
        if kind is Parameter.KEYWORD_ONLY and before not in (
            kind,
            Parameter.VAR_POSITIONAL,
        ):
            words.append("*")
        words.append(_word(parameter))
        before = kind
    return [*words, "/"] if before is Parameter.POSITIONAL_ONLY else words


def _word(parameter: Parameter) -> str:
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is Parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    return parameter.name if is_required(parameter) else f"{parameter.name}="


def _signature(name: str, words: Any) -> Signature:
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"the parameters of {name!r} are {words!r}, no list of texts")
    kind: Any = Parameter.POSITIONAL_OR_KEYWORD
    if "/" in words:
        kind = Parameter.POSITIONAL_ONLY
    found: list[Parameter] = []
    for word in words:
        if word == "/":
            kind = Parameter.POSITIONAL_OR_KEYWORD
        elif word == "*":
            kind = Parameter.KEYWORD_ONLY
        elif word.startswith("**"):
            found.append(Parameter(word[2:], Parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            found.append(Parameter(word[1:], Parameter.VAR_POSITIONAL))
            kind = Parameter.KEYWORD_ONLY
        else:
            default = None if word.endswith("=") else Parameter.empty
            found.append(Parameter(word.removesuffix("="), kind, default=default))
    return Signature(found)
