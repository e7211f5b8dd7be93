"""Text for people: what any database stores of it, and no terminal obeys."""

from __future__ import annotations

from reprlib import Repr

LONGEST_ERROR = 10_000
LONGEST_TRACEBACK = 100_000
LONGEST_LINE = 10_000
#: Of what is kept of attempts that are over.
LONGEST_PAST_ERROR = 4 * 1024
LONGEST_PAST_TRACEBACK = 64 * 1024
#: The name of who asked for something.
LONGEST_BY = 255
_ELLIPSIS = "..."


def storable(text: str, limit: int) -> str:
    """Return `text` without what databases refuse, at most `limit` characters long.

    PostgreSQL takes no NUL, and no database takes a lone surrogate as UTF-8. Both are
    shown as their escapes. A cut is marked, with the number of characters left out.
    """
    text = str(text)
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) > limit:
        # The mark itself has its place within the limit.
        half = max(0, limit - len(_cut_mark(len(text)))) // 2
        mark = _cut_mark(len(text) - 2 * half)
        text = (text[:half] + mark + text[len(text) - half :])[:limit]
    return text


def cut_off(text: str, longest: int) -> str:
    """Return the beginning of text, at most `longest` characters, "..." after a cut.

    longest: 3 or more, for the dots are among them.
    """
    if len(text) <= longest:
        return text
    return text[: max(0, longest - len(_ELLIPSIS))] + _ELLIPSIS


def _cut_mark(count: int) -> str:
    return f"\n[... {count} characters left out ...]\n"


def harmless(text: str) -> str:
    """Return text whose control characters are shown, not obeyed.

    A name, an argument or a log line may come from anybody.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode()
        for c in text
    )


def one_line(text: str) -> str:
    """Return harmless text as one line: breaks and tabs are shown as their escapes."""
    return harmless(text).replace("\n", "\\n").replace("\t", "\\t")


def unstorable(text: str) -> str | None:
    """Say what some database refuses in `text`; None when it is fine."""
    if "\x00" in text:
        return "a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half a surrogate pair"
    return None


def remark(what: str, value: object, longest: int) -> str:
    """Return what somebody remarks on what they do, without space around it.

    Raises TypeError for what is no text, ValueError where it is longer than `longest`, or
    some database refuses it. what: its name, for the message.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {brief(value)}")
    text = value.strip()
    if len(text) > longest or unstorable(text):
        raise ValueError(
            f"{what} is {brief(value)}, but must be a text of at most {longest:,} "
            "characters that every database stores"
        )
    return text


def named_by(who: object, longest: int) -> str:
    """Return the name of who does something, such as ``request.user``; None: no name.

    Cut rather than refused: who does it may be unable to change what they are called.
    """
    text = "" if who is None else str(who).strip()
    return cut_off(storable(text, 10 * longest), longest)


def brief(value: object) -> str:
    """Return the repr of a value that is refused, without its middle if it is long."""
    return _brief.repr(value)


class _Brief(Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # more digits than Python makes text of
            return f"<an int of {x.bit_length()} bits>"


_brief = _Brief()
_brief.maxstring = _brief.maxother = 80
