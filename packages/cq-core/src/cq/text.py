"""Text that any database stores: what people see, not what comes back."""

from __future__ import annotations

LONGEST_ERROR = 10_000
LONGEST_TRACEBACK = 100_000
LONGEST_LINE = 10_000


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


def _cut_mark(count: int) -> str:
    return f"\n[... {count} characters left out ...]\n"
