"""Texts that would like to be markup, and what of a page they must not change."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

PAYLOADS = [
    "<script>alert(1)</script>",
    "</pre></dd><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "javascript:alert(1)",
    "{{ 7|add:7 }}{% debug %}",
    "<!--",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "&#60;script&#62;alert(1)",
    "\x1b[31mred\x1b]8;;javascript:alert(1)\x07",
    "a\u202e<script>\u2028alert(1)\u2029</script>",
    "\ufeff\u200f<b>",
    "%3Cscript%3E",
    "<a href=javascript:alert(1)>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "\\u003cscript\\u003e",
]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Any, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        # The same elements with other texts are the same page.
        if tag != "wbr":  # as many as a name has dots
            self.found.append((tag, *sorted(name for name, _ in attrs)))


def tags(html: str) -> list[tuple[Any, ...]]:
    parser = Tags()
    parser.feed(html)
    return parser.found


def inline_code(html: str) -> list[str]:
    """What a policy without 'unsafe-inline' would refuse."""
    return re.findall(r"<style|\sstyle=|<script(?![^>]*\bsrc=)[^>]*>|\son[a-z]+=", html)


def without_token(html: str) -> list[str]:
    """The forms that change something and have no token against forgery."""
    forms = re.findall(r"(?s)<form\b.*?</form>", html)
    return [
        form
        for form in forms
        if 'method="post"' in form and "csrfmiddlewaretoken" not in form
    ]
