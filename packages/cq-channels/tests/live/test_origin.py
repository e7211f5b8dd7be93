"""Which pages may open a socket: those that may post a form to this site."""

from __future__ import annotations

from typing import Any

import pytest

from cq_channels.live.origin import is_own


def scope(*headers: tuple[str, str]) -> dict[str, Any]:
    return {"headers": [(k.encode(), v.encode("latin1")) for k, v in headers]}


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("https://shop.example", "shop.example", True),
        ("https://shop.example:443", "shop.example", True),
        ("http://shop.example:8000", "shop.example:8000", True),
        ("https://shop.example", "shop.example:443", True),
        ("https://SHOP.example", "shop.example", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://evil.example", "shop.example", False),
        ("https://shop.example.evil.example", "shop.example", False),
        ("https://evilshop.example", "shop.example", False),
        ("http://shop.example:8001", "shop.example:8000", False),
        ("https://shop.example@evil.example", "shop.example", False),
        ("null", "shop.example", False),
        ("", "shop.example", False),
        ("file:///etc/passwd", "shop.example", False),
        ("http://shop.example:99999999", "shop.example", False),
        ("http://[", "shop.example", False),
        ("https://\xff\xfe", "shop.example", False),
    ],
)
def test_the_origin_is_the_host(origin: str, host: str, own: bool) -> None:
    assert is_own(scope(("origin", origin), ("host", host))) is own


def test_what_is_no_browser_sends_none() -> None:
    assert is_own(scope(("host", "shop.example")))


def test_two_origins_are_none() -> None:
    same = ("origin", "https://shop.example")
    assert not is_own(scope(same, same, ("host", "shop.example")))


def test_trusted_origins_are_those_of_forms(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example", "https://*.shop.example"]
    host = ("host", "api.internal")
    for origin, own in (
        ("https://app.example", True),
        ("http://app.example", False),
        ("https://a.shop.example", True),
        ("https://a.shop.example.evil.example", False),
    ):
        assert is_own(scope(("origin", origin), host)) is own, origin


def test_a_proxy_names_the_host_where_django_believes_it(settings: Any) -> None:
    headers = (
        ("origin", "https://shop.example"),
        ("host", "10.0.0.1:8000"),
        ("x-forwarded-host", "shop.example"),
    )
    assert not is_own(scope(*headers))
    settings.USE_X_FORWARDED_HOST = True
    assert is_own(scope(*headers))
