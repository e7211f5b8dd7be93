"""An export as a test reads it."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.test import Client

URL = "/admin/cq/task/"


def text_of(client: Client, kind: str, query: str = "") -> str:
    answer = client.get(f"{URL}export/{kind}/?{query}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer).decode()  # type: ignore[arg-type]


def lines(client: Client, query: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(client, "ndjson", query).splitlines()]


def names(client: Client, query: str = "") -> list[str]:
    return [line["name"] for line in lines(client, query)]


def table(client: Client, query: str = "") -> list[dict[str, str]]:
    text = text_of(client, "csv", query)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
