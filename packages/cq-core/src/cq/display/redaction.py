"""The redaction of what people are shown: of arguments and results, by name, and of text.

Every page and every command asks here, so nothing is hidden in one place and shown in
another. What is stored, and what a task is given, is never touched.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

from django.views.debug import (
    SafeExceptionReporterFilter,
    get_default_exception_reporter_filter,
)

from cq.conf import conf, function
from cq.definitions import registry
from cq.errors import UnknownTask

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Levels that are walked; the codec stores 64 by default.
MAX_DEPTH = 100
#: Characters of a text in which JSON is looked for.
LONGEST_JSON = 4 * 1024 * 1024

#: Beside the names that Django hides on its error pages, as whole words of a name.
_WORDS = frozenset(
    [
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "csrf",
        "cvc",
        "cvv",
        "iban",
        "jwt",
        "otp",
        "passcode",
        "pin",
        "private",
        "pwd",
        "sessionid",
        "ssn",
    ]
)
_PHRASES = re.compile(
    r"card_?(number|no|code|holder)|credit_?card|session_?id|social_?security|"
    r"account_?number|tax_?id",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

#: In text: a name and what stands before its value. The look-behind lets each run of
#: letters be tried once, so the time stays linear.
_NAME = re.compile(
    r"""(?<![\w.-])([\w.-]{1,100})\\?["']?\s{0,9}[=:]\s{0,9}""", re.IGNORECASE
)
#: A value in quotes, or up to a blank.
_VALUE = re.compile(
    r""""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|"""
    r"""(?:(?:basic|bearer|token)\s+)?[^\s"'&,;(){}\[\]]+""",
    re.IGNORECASE,
)
_HEADER = re.compile(r"[\w.-]{1,100}")
#: In an address: what stands before the @ of its host.
_USERINFO = re.compile(r"(?<=://)[^\s/@\"'<>]{0,500}:[^\s/\"'<>]{0,500}@")


class Mark(str):
    """A text that stands for a value: shown without quotes, in JSON a string."""

    __slots__ = ()


#: What JSON has a word for, but for text.
_JSON = (int, float, list, dict, type(None))
HIDDEN = Mark("********")
CUT = Mark("...")


class Redaction:
    """The redaction of one task's values: by its own option, the settings and the names.

    name: the task's; one that is not registered here has no option of its own, and its
    arguments no names.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.parameters: list[inspect.Parameter] = []
        own: Iterable[str] = ()
        try:
            definition = registry.get(name)
        except UnknownTask:
            pass
        else:
            own = definition.options.redact
            self.parameters = list(definition.signature.parameters.values())
        self._function = function("REDACT")
        more: Any = () if self._function else conf.REDACT or ()
        self._always = {n.casefold() for n in own}
        self._more = {str(n).casefold() for n in more}
        self._known: dict[str, bool] = {}

    # --- values -----------------------------------------------------------------------

    def args(self, node: Any) -> Any:
        """Return stored arguments by position, as JSON, with what is secret hidden."""
        if not isinstance(node, list):
            return self._node(("args",), node)
        names = self.names(len(node))
        return [
            self._value((name if name else n,), node_, name)
            for n, (node_, name) in enumerate(zip(node, names, strict=True))
        ]

    def kwargs(self, node: Any) -> Any:
        """Return stored arguments by name, as JSON, with what is secret hidden."""
        return self._node((), node)

    def result(self, node: Any) -> Any:
        """Return a stored result, as JSON, with what is secret hidden."""
        return self._value(("result",), node, "result")

    def text(self, text: str) -> str:
        """Return an error, a traceback or a log line as ``CQ_REDACT_TEXT`` has it."""
        change = function("REDACT_TEXT")
        if change is None or not text:
            return text
        try:
            return str(change(self.name, text))
        except Exception as error:  # better nothing than what was to be hidden
            return f"[hidden: CQ_REDACT_TEXT raised {type(error).__name__}]"

    def is_secret(self, name: str) -> bool:
        """Tell whether what has that name is hidden."""
        known = self._known.get(name)
        if known is None:
            folded = name.casefold()
            known = folded in self._always or (
                self._function is None
                and (folded in self._more or _is_secret_by_default(name))
            )
            self._known[name] = known
        return known

    # --- the walk ---------------------------------------------------------------------

    def names(self, count: int) -> list[str]:
        """Return what the arguments by position are called; "" where nothing is known."""
        names: list[str] = []
        for parameter in self.parameters:
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                return (names + [parameter.name] * count)[:count]
            if parameter.kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            ):
                names.append(parameter.name)
        return (names + [""] * count)[:count]

    def _value(self, path: tuple[str | int, ...], node: Any, name: Any) -> Any:
        if isinstance(name, str) and name and self.is_secret(name):
            return HIDDEN
        if self._function is not None:
            try:
                shown = self._function(self.name, path, node)
            except Exception:  # better nothing than what was to be hidden
                return HIDDEN
            if shown is not node:
                return shown if isinstance(shown, _JSON) else Mark(shown)
        return self._node(path, node)

    def _node(self, path: tuple[str | int, ...], node: Any) -> Any:
        if isinstance(node, str):
            return self._string(path, node)
        if not isinstance(node, list | dict):
            return node
        if len(path) > MAX_DEPTH:
            return CUT
        if isinstance(node, list):
            return self._list(path, node)
        stored = node.get("v")
        if len(node) == 2 and "$" in node and isinstance(stored, list):
            pairs = node["$"] == "dict"
            return {**node, "v": (self._pairs if pairs else self._list)(path, stored)}
        return {key: self._value((*path, key), v, key) for key, v in node.items()}

    def _list(self, path: tuple[str | int, ...], nodes: list[Any]) -> list[Any]:
        # A name and its value, as headers are kept.
        name = nodes[0] if len(nodes) == 2 else None
        if isinstance(name, str) and _HEADER.fullmatch(name) and self.is_secret(name):
            return [name, HIDDEN]
        return [self._value((*path, n), node, "") for n, node in enumerate(nodes)]

    def _pairs(self, path: tuple[str | int, ...], pairs: list[Any]) -> list[Any]:
        return [
            [pair[0], self._value((*path, str(pair[0])), pair[1], pair[0])]
            if isinstance(pair, list) and len(pair) == 2
            else self._node(path, pair)
            for pair in pairs
        ]

    def _string(self, path: tuple[str | int, ...], text: str) -> str:
        """Hide what is secret in text that holds JSON, an address or ``name=value``."""
        if text[:1] in ("{", "[") and len(text) <= LONGEST_JSON:
            try:
                node = json.loads(text)
            except (ValueError, RecursionError):
                pass
            else:
                shown = self._node(path, node)
                return text if shown == node else json.dumps(shown)
        if "://" in text:
            text = _USERINFO.sub(f"{HIDDEN}@", text)
        if "=" in text or ":" in text:
            text = self._without_secret_pairs(text)
        return text

    def _without_secret_pairs(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for name in _NAME.finditer(text):
            if name.start() < done or not self.is_secret(name[1]):
                continue
            if value := _VALUE.match(text, name.end()):
                parts += (text[done : name.end()], HIDDEN)
                done = value.end()
        return "".join((*parts, text[done:]))


class Revealed:
    """What stands in the place of a redaction for who asks to see everything."""

    def args(self, node: Any) -> Any:
        return node

    kwargs = result = args

    def text(self, text: str) -> str:
        return text


def _is_secret_by_default(name: str) -> bool:
    """Tell whether Django's error pages hide a setting of that name, or cq does."""
    reporter = get_default_exception_reporter_filter()
    standard = SafeExceptionReporterFilter.hidden_settings
    pattern = getattr(reporter, "hidden_settings", standard)
    if pattern.search(name) or _PHRASES.search(name):
        return True
    return not _WORDS.isdisjoint(word.lower() for word in _WORD.findall(name))
