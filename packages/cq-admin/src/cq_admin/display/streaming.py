"""Answers that are sent a part at a time, by WSGI and by ASGI, and never held as a whole."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest


def streamed(
    request: HttpRequest, parts: Iterator[str], content_type: str
) -> StreamingHttpResponse:
    """Return an answer of these parts, each made when it is sent."""
    # Under ASGI Django puts all parts of a plain iterator into a list before the first.
    by_asgi = isinstance(request, ASGIRequest)
    sent: Any = _in_the_thread_of_the_page(parts) if by_asgi else parts
    answer = StreamingHttpResponse(sent, content_type=content_type)
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


async def _in_the_thread_of_the_page(parts: Iterator[str]) -> AsyncIterator[str]:
    # Its connection to the database belongs to that thread.
    following = sync_to_async(partial(next, parts, None), thread_sensitive=True)
    while (part := await following()) is not None:
        yield part
