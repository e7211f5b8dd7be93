"""``{% cq_progress %}`` on a page: what stands there without JavaScript."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import driving
import pytest
import sample_tasks
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.template import engines
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.utils import translation

import cq
from cq import task
from cq.models import Task
from cq.progress.token import Token, read

pytestmark = pytest.mark.django_db(transaction=True)

STATIC = Path(cq.__file__).parent / "static" / "cq"


@task("progress.tag.says")
def says(cqt: Any) -> None:
    cqt.log("<i>for you</i>", public=True)
    cqt.log("for us")
    cqt.set_progress(1, 2, "<b>half</b>")
    raise ValueError("ours")


class Elements(HTMLParser):
    """All elements of a page: what is on it, as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, {k: v or "" for k, v in attrs}))

    def one(self, tag: str, css: str = "") -> dict[str, str] | None:
        for name, attributes in self.found:
            if name == tag and (not css or css in attributes.get("class", "").split()):
                return attributes
        return None


def page(handle: Task, template: str, **query: str) -> str:
    given = {"template": template, **query}
    answer = Client().get(f"/page/{handle.pk}/", given)
    assert answer.status_code == 200
    return answer.content.decode()


def token_on(text: str) -> Token:
    found = re.search(r'data-url="/tasks/([^"/]+)/"', text)
    assert found
    return read(found[1])


def test_a_bar_is_right_without_javascript() -> None:
    handle = sample_tasks.square.delay(3)
    Task.objects.filter(pk=handle.pk).update(
        progress_done=1, progress_total=8, progress_message="adding up"
    )
    text = page(handle, '{% cq_progress task label="Your sum" %}')
    bar = Elements(text).one("progress")
    assert bar is not None
    assert (bar["max"], bar["value"], bar["aria-label"]) == ("1", "0.125", "Your sum")
    assert ">adding up<" in text
    assert ">1 of 8<" in text
    assert token_on(text) == Token(handle.pk)
    for part in ("form", "ol", "a"):
        assert Elements(text).one(part) is None


def test_a_number_has_no_comma_in_any_language() -> None:
    handle = sample_tasks.square.delay(3)
    Task.objects.filter(pk=handle.pk).update(progress_done=1.5, progress_total=4)
    with translation.override("de"):
        text = page(handle, "{% cq_progress task %}")
    bar = Elements(text).one("progress")
    assert bar is not None
    assert bar["value"] == "0.375"
    assert ">1,5 von 4<" in text


def test_one_that_says_nothing_moves_to_and_fro_until_it_is_done() -> None:
    handle = sample_tasks.square.delay(3)
    text = page(handle, "{% cq_progress task %}")
    assert "value" not in (Elements(text).one("progress") or {"value": ""})
    driving.run(handle)
    text = page(handle, "{% cq_progress task %}")
    assert (Elements(text).one("progress") or {})["value"] == "1"
    assert re.search(r'role="status">complete<', text)


def test_each_option_adds_what_it_says() -> None:
    handle = sample_tasks.square.delay(3)
    text = page(
        handle,
        "{% cq_progress task log=True cancel=True redirect=next refresh=True %}",
        next="/done/",
    )
    elements = Elements(text)
    assert token_on(text) == Token(handle.pk, log=True, cancel=True)
    form = elements.one("form", "cq-cancel")
    assert form is not None
    assert form["method"] == "post"
    assert "csrfmiddlewaretoken" in text
    assert elements.one("ol", "cq-log") is not None
    next_ = elements.one("a", "cq-next")
    assert next_ is not None
    assert next_["href"] == "/done/"
    assert "hidden" in next_
    assert (elements.one("cq-progress") or {})["data-redirect"] == "/done/"
    assert elements.one("a", "cq-refresh") is not None
    assert "hx-get" not in text
    driving.run(handle)
    after = Elements(
        page(handle, "{% cq_progress task redirect=next %}", next="/done/")
    )
    assert "hidden" not in (after.one("a", "cq-next") or {"hidden": ""})


def test_a_page_under_asgi_is_told_where_a_socket_may_be_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = sample_tasks.square.delay(3)

    def element(request: Any, options: str = "") -> dict[str, str]:
        text = f"{{% load cq %}}{{% cq_progress task {options} %}}"
        bar = engines["django"].from_string(text)
        text = bar.render({"task": handle}, request)
        return Elements(text).one("cq-progress") or {}

    for installed in (True, False):
        monkeypatch.setattr(apps, "is_installed", lambda name, found=installed: found)
        found = element(AsyncRequestFactory().get("/"))
        assert found.get("data-socket") == ("/ws/cq/" if installed else None)
        if installed:
            assert found["data-task"] == str(handle.pk)
            assert found["data-url"] == f"/tasks/{found['data-token']}/"
        assert "data-socket" not in element(RequestFactory().get("/"))
        assert "data-socket" not in element(AsyncRequestFactory().get("/"), "htmx=True")
    driving.run(handle)
    monkeypatch.setattr(apps, "is_installed", lambda name: True)
    assert "data-socket" not in element(AsyncRequestFactory().get("/"))


def test_htmx_asks_where_it_is_told_to() -> None:
    handle = sample_tasks.square.delay(3)
    text = page(handle, "{% cq_progress task cancel=True htmx=True %}")
    element = Elements(text).one("cq-progress") or {}
    assert element["hx-get"].endswith("/fragment/")
    assert (Elements(text).one("form") or {})["hx-target"] == "closest cq-progress"
    driving.run(handle)
    assert "hx-" not in page(handle, "{% cq_progress task cancel=True htmx=True %}")


def test_what_a_task_says_is_text() -> None:
    handle = driving.run(says.delay())
    text = page(handle, "{% cq_progress task log=True %}")
    assert "&lt;i&gt;for you" in text
    assert "<i>" not in text
    assert "for us" not in text
    assert "ours" not in text
    assert "ValueError" not in text
    assert "It did not work" in text
    assert (Elements(text).one("cq-progress") or {})["class"] == (
        "cq-progress cq-over cq-failed"
    )
    assert (Elements(text).one("cq-progress") or {})["data-seen"] == "1"
    again = sample_tasks.square.delay(3)
    Task.objects.filter(pk=again.pk).update(progress_message="<b>half</b>")
    assert "&lt;b&gt;half" in page(again, "{% cq_progress task %}")


def test_a_hostile_label_and_redirect_are_text_or_left_out() -> None:
    handle = sample_tasks.square.delay(3)
    hostile = '"><script>alert(1)</script>'
    text = page(handle, "{% cq_progress task label=next redirect=next %}", next=hostile)
    assert "<script" not in text
    for target in ("javascript:alert(1)", "https://evil.test/", "//evil.test"):
        text = page(handle, "{% cq_progress task redirect=next %}", next=target)
        assert "cq-next" not in text
        assert "data-redirect" not in text


def test_a_redirect_to_this_site_by_its_name_is_one() -> None:
    handle = sample_tasks.square.delay(3)
    own = "http://testserver/done/"
    text = page(handle, "{% cq_progress task redirect=next %}", next=own)
    assert (Elements(text).one("a", "cq-next") or {})["href"] == own


def test_nothing_stands_inline() -> None:
    handle = sample_tasks.square.delay(3)
    template = (
        "{% cq_progress_assets %}"
        "{% cq_progress task log=True cancel=True label='x' refresh=True htmx=True %}"
    )
    elements = Elements(page(handle, template)).found
    for tag, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        assert tag != "style"
        if tag == "script":
            assert attributes == {"type": "module", "src": "/static/cq/progress.js"}
    assert (
        "link",
        {"rel": "stylesheet", "href": "/static/cq/progress.css"},
    ) in elements


def test_no_task_is_no_bar() -> None:
    handle = sample_tasks.square.delay(3)
    for template in ("{% cq_progress nothing %}", "{% cq_progress '' %}"):
        assert page(handle, template).strip() == ""
    Task.objects.all().delete()
    assert page(handle, "{% cq_progress task %}").strip() == ""
    text = "{% load cq %}{% cq_progress task %}"
    gone = engines["django"].from_string(text).render({"task": handle})
    assert gone.strip() == ""


def test_it_works_without_a_request() -> None:
    handle = sample_tasks.square.delay(3)
    text = "{% load cq %}{% cq_progress task redirect='/done/' refresh=True %}"
    found = engines["django"].from_string(text).render({"task": handle})
    assert 'href="/done/"' in found


def test_who_has_no_addresses_is_told_what_to_add(settings: Any) -> None:
    settings.ROOT_URLCONF = nowhere = ModuleType("nowhere")
    nowhere.urlpatterns = []  # type: ignore[attr-defined]
    handle = sample_tasks.square.delay(3)
    text = "{% load cq %}{% cq_progress task %}"
    with pytest.raises(ImproperlyConfigured, match=r'path\("tasks/", include'):
        engines["django"].from_string(text).render({"task": handle})


def test_a_bar_costs_one_statement_and_its_log_one_more(
    django_assert_num_queries: Any,
) -> None:
    handle = driving.run(sample_tasks.logs_lines.delay(3))
    bar = engines["django"].from_string("{% load cq %}{% cq_progress task %}")
    log = engines["django"].from_string("{% load cq %}{% cq_progress task log=True %}")
    with django_assert_num_queries(1):
        bar.render({"task": handle})
    with django_assert_num_queries(2):
        log.render({"task": handle})


def test_the_module_is_small_and_runs_no_text() -> None:
    module = (STATIC / "progress.js").read_text()
    assert len(module.encode()) <= 8 * 1024
    for forbidden in (
        "innerHTML",
        "eval(",
        "new Function",
        "attachShadow",
        "document.write",
    ):
        assert forbidden not in module
    assert (STATIC / "progress.css").stat().st_size <= 2 * 1024
