"""The advice for a value that cannot be stored: what to pass in its place.

Libraries are told by the names of their classes, so none is imported for it.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Awaitable, Mapping
from datetime import tzinfo
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from numbers import Number
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from django.core.files.base import File

#: By the library's top module and the name of the class.
_OF_LIBRARIES = {
    ("django", "HttpRequest"): "pass what the task needs of it, as request.user.pk",
    ("django", "BaseForm"): "pass .cleaned_data of it",
    ("pydantic", "BaseModel"): "pass .model_dump() of it",
    ("numpy", "generic"): "pass .item() of it",
    ("numpy", "ndarray"): "pass .tolist() of it",
    ("pandas", "Series"): "pass .tolist() of it",
    ("pandas", "DataFrame"): 'pass .to_dict("records") of it',
    ("torch", "Tensor"): "pass .tolist() of it",
}

#: The first that fits is given.
_OF_CLASSES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bytearray, memoryview), "pass bytes() of it"),
    ((File,), "save it and pass its name"),
    ((io.IOBase,), "pass what .read() of it gives, or save it and pass its name"),
    ((BaseException, os.PathLike, tzinfo), "pass str() of it"),
    ((IPv4Address, IPv4Network, IPv6Address, IPv6Network), "pass str() of it"),
    ((Mapping,), "pass dict() of it"),
    ((SimpleNamespace,), "pass vars() of it"),
    ((Awaitable,), "await it and pass what it gives"),
    (
        (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType),
        "pass its name",
    ),
)


def advice(kind: type) -> str:
    """Return what to do instead of storing a value of a class."""
    for base in kind.__mro__:
        library = base.__module__.partition(".")[0]
        if words := _OF_LIBRARIES.get((library, base.__name__)):
            return words
    if dataclasses.is_dataclass(kind):
        return "pass dataclasses.asdict() of it"
    if hasattr(kind, "__attrs_attrs__"):
        return "pass attrs.asdict() of it"
    for bases, words in _OF_CLASSES:
        if issubclass(kind, bases):
            return words
    return _by_protocol(kind)


def _by_protocol(kind: Any) -> str:
    if hasattr(kind, "__index__"):
        return "pass int() of it"
    if issubclass(kind, Number):
        return "pass str() of it"
    if hasattr(kind, "__iter__"):
        return "pass a list of what is in it"
    return "pass its id, or a dict of what the task needs"
