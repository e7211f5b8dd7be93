"""The element ``<cq-progress>`` as the server writes it, for the tag and the fragment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from .public import public_state

if TYPE_CHECKING:
    from django.http import HttpRequest

    from cq.live.state import Reading

    from .token import Token

TEMPLATE = "cq/progress.html"
#: Characters. An address carries it along.
LONGEST_LABEL = 200
LONGEST_REDIRECT = 2_000


class Look(NamedTuple):
    """How a page wants it. None of this is signed, so none of it opens anything."""

    label: str = ""
    redirect: str = ""
    refresh: bool = False

    @classmethod
    def of(
        cls, request: HttpRequest | None, label: Any, redirect: Any, refresh: Any
    ) -> Look:
        """Return it with what may stand on a page: a redirect leads nowhere else."""
        target = str(redirect or "")[:LONGEST_REDIRECT]
        return cls(
            str(label or "")[:LONGEST_LABEL],
            target if is_own(request, target) else "",
            bool(refresh),
        )

    @property
    def query(self) -> str:
        """The query of an address that keeps it."""
        given = {
            "label": self.label,
            "redirect": self.redirect,
            "refresh": "1" if self.refresh else "",
        }
        found = urlencode({name: value for name, value in given.items() if value})
        return f"?{found}" if found else ""


def is_own(request: HttpRequest | None, address: str) -> bool:
    """Tell whether an address is on this site: also by its scheme."""
    hosts = None if request is None else {request.get_host()}
    secure = request is not None and request.is_secure()
    return url_has_allowed_host_and_scheme(address, hosts, require_https=secure)


def context_of(
    reading: Reading,
    text: str,
    token: Token,
    look: Look,
    *,
    htmx: bool,
    back: str = "",
    socket: str = "",
) -> dict[str, Any]:
    """Return what the template is given.

    text: the token as it stands in addresses. htmx: it asks for itself again, as htmx has
    it. back: where a browser without JavaScript goes after a cancellation. socket: where
    it may be told of changes; "": it asks.
    """
    state = public_state(reading, log=token.log)
    fraction = state["progress"]["fraction"]
    lines = state.get("log") or []
    return {
        "state": state,
        "look": look,
        "token": token,
        "text": text,
        "socket": socket,
        # No number that a language would write with a comma.
        "value": "" if fraction is None else f"{fraction:.4g}",
        "seen": str(lines[-1]["n"] if lines else 0),
        "state_url": address("state", text),
        "fragment_url": address("fragment", text) + look.query,
        "cancel_url": address("cancel", text) + look.query,
        "htmx": htmx,
        "back": back,
    }


def address(name: str, token: str) -> str:
    """Return an address of ``cq.urls``. Raises ImproperlyConfigured if it has none."""
    try:
        return reverse(f"cq:{name}", args=[token])
    except NoReverseMatch:
        raise ImproperlyConfigured(
            "a bar asks for its state at the addresses of cq.urls: add "
            'path("tasks/", include("cq.urls")) to the urlpatterns in '
            f"{settings.ROOT_URLCONF}"
        ) from None
