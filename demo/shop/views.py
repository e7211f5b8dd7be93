"""The page of the shop: who orders something sees how far it is, logged in or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_POST

from cq.models import Task

from .tasks import pack_order

if TYPE_CHECKING:
    from django.http import HttpRequest


def show(request: HttpRequest) -> HttpResponse:
    orders = Task.objects.filter(pk__in=request.session.get("orders", []))
    return render(request, "shop/orders.html", {"orders": orders.order_by("-pk")})


@require_POST
def order(request: HttpRequest) -> HttpResponse:
    made = str(pack_order.delay().pk)
    # The last three; the session is the visitor's own.
    request.session["orders"] = [*request.session.get("orders", []), made][-3:]
    return HttpResponseRedirect("/")
