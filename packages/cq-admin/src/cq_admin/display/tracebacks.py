"""A traceback's text in pieces: the project's own frames, and those of libraries."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

#: A frame, also within a group of exceptions.
_FRAME = re.compile(r'[ |+-]*File "([^"\n]+)", line (\d{1,9})')
#: What belongs to the frame above it: its line of code, and what points at that.
_OF_FRAME = re.compile(r"(?:  [|+ -]* {2,}|  \[Previous line)")
#: Where the packages are that pip installs, and those of Python itself.
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\]+)")
_STANDARD = re.compile(r"[/\\](?:lib(?:64)?[/\\]python[\d.]+|Lib)[/\\]([^/\\]+)")

#: Folders of a path that is in none of this process's.
_LAST_PARTS = 3


@dataclass
class Piece:
    """Lines of a traceback that stand together."""

    #: Whether they are frames of libraries, which a reader may pass over.
    library: bool = False
    lines: list[str] = field(default_factory=list)
    #: Frames among them, and of which packages.
    frames: int = 0
    packages: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Frame:
    """The place that a frame names."""

    path: str
    line: int

    @property
    def package(self) -> str | None:
        """The package of a library; None for the project's own code."""
        if self.path.startswith("<frozen "):
            return self.path[8:].strip("<>").partition(".")[0]
        found = _INSTALLED.search(self.path) or _STANDARD.search(self.path)
        return found[1].removesuffix(".py") if found else None

    @property
    def short(self) -> str:
        """The path as the project would import it, with the line."""
        roots = [root for root in sys.path if root and self.path.startswith(root)]
        root = max(roots, key=len, default="")
        rest = self.path[len(root) :].lstrip("/\\")
        if not root:
            rest = "/".join(re.split(r"[/\\]", self.path)[-_LAST_PARTS:])
        return f"{rest}:{self.line}"


def pieces(text: str) -> list[Piece]:
    """Divide a traceback where code of the project and of libraries take turns."""
    found: list[Piece] = []
    of_frame = False
    for line in text.split("\n"):
        frame = frame_of(line)
        if frame is not None:
            package = frame.package
            library, of_frame = package is not None, True
        else:
            package = None
            of_frame = of_frame and bool(_OF_FRAME.match(line))
            library = of_frame and found[-1].library
        if not found or found[-1].library != library:
            found.append(Piece(library))
        found[-1].lines.append(line)
        found[-1].frames += frame is not None
        if package is not None and package not in found[-1].packages:
            found[-1].packages.append(package)
    return found


def frame_of(line: str) -> Frame | None:
    """Return the place that a line of a traceback names, if it names one."""
    found = _FRAME.match(line)
    return Frame(found[1], int(found[2])) if found else None


def innermost(text: str) -> Frame | None:
    """Return the last frame of the project's own code, if there is one."""
    for line in reversed(text.split("\n")):
        frame = frame_of(line)
        if frame is not None and frame.package is None:
            return frame
    return None
