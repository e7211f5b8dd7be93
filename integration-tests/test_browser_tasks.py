"""The pages of one task and its verbs in a real browser: their width, and who can use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import SCHEDULES, manage, overflow, page_of, seen_as

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

#: As long as a name may be, with nowhere to break, and half of it from right to left.
LONG = "shop" + "x" * 96
RIGHT_TO_LEFT = "\u05d0\u05d1\u05d2" * 33
MADE = f"""
from datetime import timedelta
from django.utils import timezone
from cq.codec import Encoded
from cq.ids import uuid7
from cq.models import Task, TaskLog, Worker
now = timezone.now()
long = {LONG!r} * 2
def make(status, name=long, **columns):
    pk = uuid7()
    ended = {{"finished": now}} if status in ("FAILURE", "COMPLETE", "INCOMPLETE") else {{}}
    columns = {{"root_id": pk, "submitted": now, "started": now, **ended, **columns}}
    return Task.objects.create(pk=pk, name=name, status=status, **columns)
worker = Worker.objects.create(
    id=2**62, kind="cqworker", host="h" * 200, pid=4711, slots=2, started=now,
    last_seen=now, queues=["q" * 100], release="r" * 60,
)
trace = '''Traceback (most recent call last):
  File "/srv/shop/gateway.py", line 42, in charge
    answer = post(order)
  File "/srv/lib/python3.12/site-packages/requests/api.py", line 9, in post
    raise Timeout
GatewayTimeout: no answer''' + "y" * 300
make(
    "FAILURE", name="shop.tasks.summarize", error="no answer" + "y" * 300,
    exception="shop." + "G" * 200,
)
failed = make(
    "FAILURE", error="no answer" + "y" * 300, exception="shop.GatewayTimeout",
    traceback=trace, queue="q" * 100, attempts=2, log_lines=6, unique_key=None,
    args=Encoded('["' + "z" * 300 + '"]'), kwargs=Encoded('{{"' + "k" * 200 + '": 1}}'),
    options={{"unique": "taken"}},
)
for number, level in enumerate((20, 10, 25, 30, 40, 50), 1):
    TaskLog.objects.create(
        root=failed, task=failed, number=number, attempt=1 + number % 2, level=level,
        time=now, message="m" * 300,
    )
make("QUEUED", unique_key="taken", parent=failed, root_id=failed.pk, counted=False)
make("RETRY", name={RIGHT_TO_LEFT!r}, run_after=now + timedelta(hours=1))
make("COMPLETE", name="shop.tasks.publish", args=Encoded("[5]"))
make("RUNNING", name="shop.tasks.summarize", worker=worker)
make("QUEUED", queue="n" * 100, ready=now - timedelta(hours=5))
from cq import mark
from cq.figures.steps import minute_of
from cq.models import Depth, Figure
mark("v42 " + "w" * 90)
# A worker has run before, and may have looked in one of these minutes.
Depth.objects.all().delete()
for ago in range(1, 60):
    minute = minute_of(now) - ago
    for name in (long, {RIGHT_TO_LEFT!r}):
        Figure.objects.create(
            step=1, slot=minute, name=name, queue="q" * 100, complete=30 - ago // 2,
            retried=4, failed=5, w05=20, w08=10, d07=20, d12=10, took=400.0,
        )
    for queue in ("", "q" * 100):
        Depth.objects.create(step=1, slot=minute, queue=queue, waiting=60 - ago)
"""
VERBS = {"FAILURE": "retry", "COMPLETE": "retry", "RETRY": "now", "QUEUED": "priority"}


@pytest.fixture(scope="module")
def tasks(site: str) -> str:
    """The address of the list, with tasks whose texts are as long as they may be."""
    manage("shell", "-c", MADE)
    return f"{site}cq/task/"


def pages_of(page: Page, tasks: str) -> list[str]:
    """The addresses of the pages that are cq's own, and of the workers."""
    others = ("worker/", "queue/", "overview/", "overview/?range=day&rows=all")
    found = [tasks, *(tasks.replace("task/", other) for other in others)]
    found += [f"{tasks}add/", f"{tasks}add/?name=shop.tasks.summarize"]
    found += [f"{tasks}of/", f"{tasks}of/?name=shop.tasks.summarize"]
    found.append(f"{tasks}of/?name={LONG}{LONG}")
    for status, verb in VERBS.items():
        page.goto(f"{tasks}?status__exact={status}")
        link = page.locator("#result_list tbody th a").first
        address = f"{tasks}{str(link.get_attribute('href')).split('/')[-3]}/"
        found += [f"{address}change/", f"{address}{verb}/", f"{address}history/"]
        if status == "COMPLETE":
            found.append(f"{address}again/")
        if status == "FAILURE":
            found.append(f"{address}change/?view=graph")
        found.append(f"{address}log/")
        if status == "QUEUED":
            found.append(f"{address}revoke/")
    return found


def test_every_page_fits_and_is_in_the_way_of_nobody(
    browser: Browser,
    site: str,
    tasks: str,
) -> None:
    # Narrow and wide, light and dark, for those who do not see or point as well.
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    bad: list[str] = []
    with page_of(browser, site) as page:
        for address in pages_of(page, tasks):
            page.goto(address)
            # Where colours fade over, axe would meet those of the scheme before.
            page.add_style_tag(content="* { transition: none !important }")
            for width, scheme in seen_as(page):
                if overflow(page) > 0:
                    bad.append(f"{address} {width} {scheme}: is wider than the window")
            for details in page.locator("details").all():
                details.evaluate("element => { element.open = true; }")
            for width, scheme in seen_as(page):
                bad += [
                    f"{address} {width} {scheme}: {one['id']}: {node['html'][:200]} "
                    f"{node['failureSummary']}"
                    for one in axe.run(page).response["violations"]
                    if one["impact"] in ("serious", "critical")
                    for node in one["nodes"]
                ]
    assert not bad, "\n".join(bad)


def failed(page: Page, tasks: str) -> None:
    page.goto(f"{tasks}?status__exact=FAILURE")
    page.click("#result_list tbody th a")
    page.wait_for_url("**/change/**")


def test_the_first_verb_is_a_few_stops_behind_the_skip_link(
    browser: Browser,
    site: str,
    tasks: str,
) -> None:
    with page_of(browser, site) as page:
        failed(page, tasks)
        page.keyboard.press("Tab")
        assert "skip" in str(page.evaluate("document.activeElement.className"))
        page.keyboard.press("Enter")
        for _ in range(12):
            page.keyboard.press("Tab")
            if "Retry" in str(page.evaluate("document.activeElement.textContent")):
                break
        else:
            raise AssertionError("Retry is more than twelve stops away")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "2px"


def test_the_verbs_stand_on_one_line_with_history(
    browser: Browser,
    site: str,
    tasks: str,
) -> None:
    with page_of(browser, site) as page:
        manage("shell", "-c", SAFE)
        page.goto(f"{tasks}?status__exact=LOST")
        page.click("#result_list tbody th a")
        button = page.locator(".object-tools button", has_text="Retry")
        history = page.locator(".object-tools a", has_text="History")
        middles = [
            box["y"] + box["height"] / 2
            for box in (button.bounding_box(), history.bounding_box())
            if box is not None
        ]
        assert abs(middles[0] - middles[1]) <= 1


SAFE = """
from django.utils import timezone
from cq.ids import uuid7
from cq.models import Task
pk, now = uuid7(), timezone.now()
Task.objects.create(
    pk=pk, name="shop.tasks.publish", status="LOST", root_id=pk, submitted=now, finished=now
)
"""


def test_what_is_copied_is_the_whole(
    browser: Browser,
    site: str,
    tasks: str,
    expect: Any,
) -> None:
    with page_of(browser, site) as page:
        failed(page, tasks)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = page.locator(".cq-traceback .cq-copy")
        button.click()
        expect(button).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("Traceback (most recent call last):")
        assert "site-packages/requests" in copied
        expect(button).to_have_text("Copy")


def test_it_is_copied_where_the_page_is_not_secure_as_well(
    browser: Browser,
    site: str,
    tasks: str,
    expect: Any,
) -> None:
    with page_of(browser, site) as page:
        # As on plain HTTP, but for the host that tests run on.
        page.add_init_script("delete Navigator.prototype.clipboard")
        failed(page, tasks)
        assert page.evaluate("navigator.clipboard") is None
        button = page.locator(".cq-title .cq-copy")
        button.click()
        expect(button).to_have_text("Copied")
        page.focus("#nav-filter")
        page.keyboard.press("Control+V")
        copied = page.input_value("#nav-filter")
        assert copied == page.locator(".cq-title .cq-id").inner_text()


#: What no page of cq needs an exception from.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'"
)


def test_the_strictest_policy_is_kept(
    browser: Browser,
    site: str,
    tasks: str,
    expect: Any,
) -> None:
    def strictly(route: Any) -> None:
        answer = route.fetch(max_redirects=0)
        headers = {**answer.headers, "content-security-policy": POLICY}
        route.fulfill(response=answer, headers=headers)

    # What is violated is an error on the console, which `page_of` hears.
    with page_of(browser, site) as page:
        addresses = pages_of(page, tasks)
        page.route("**/*", strictly)
        for address in addresses:
            page.goto(address)
        failed(page, tasks)
        page.locator(".cq-title .cq-copy").click()
        expect(page.locator(".cq-title .cq-copy")).to_have_text("Copied")


def test_without_javascript_a_task_is_retried_and_no_button_is_dead(
    browser: Browser,
    site: str,
    tasks: str,
    expect: Any,
) -> None:
    with page_of(browser, site, script=False) as page:
        page.goto(f"{tasks}?status__exact=COMPLETE&name=shop.tasks.publish")
        page.click("#result_list tbody th a")
        expect(page.locator(".cq-copy").first).to_be_hidden()
        page.get_by_role("link", name="Retry...").click()
        expect(page.locator(".cq-consequences")).to_contain_text("a second time")
        page.fill("#id_reason", "The catalogue was wrong.")
        page.get_by_role("button", name="Retry").click()
        expect(page.locator(".messagelist .success")).to_be_visible()
        expect(page.locator(".cq-top .cq-state")).to_have_text("queued")


def test_a_name_from_right_to_left_leaves_the_id_whole(
    browser: Browser,
    site: str,
    tasks: str,
) -> None:
    with page_of(browser, site) as page:
        page.goto(f"{tasks}?status__exact=RETRY")
        page.click("#result_list tbody th a")
        for place in (".cq-title h2", ".breadcrumbs"):
            boxes = page.locator(f"{place} .cq-id").evaluate(
                "element => element.getClientRects().length"
            )
            assert boxes <= 2, place  # a line may end within it, and no more
            direction = page.locator(f"{place} .cq-id").evaluate(
                "element => getComputedStyle(element).unicodeBidi"
            )
            assert direction == "isolate"


def test_a_worker_is_seen_whole_on_a_phone(
    browser: Browser,
    site: str,
    tasks: str,
    expect: Any,
) -> None:
    with page_of(browser, site, 360) as page:
        page.goto(tasks.replace("task/", "worker/"))
        for column in ("running", "last_seen", "release", "started"):
            box = page.locator(f"td.field-shown_{column}").first.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360


REMARKED = """
from django.utils import timezone
from cq_scheduler.models import RepeatingTask
RepeatingTask.objects.update(
    last_run=timezone.now(), last_error="ValueError: the arguments do not fit any more"
)
"""


def test_the_remarks_on_schedules_are_not_cut_off(
    browser: Browser,
    site: str,
) -> None:
    manage("shell", "-c", REMARKED)
    with page_of(browser, site) as page:
        page.goto(f"{site}{SCHEDULES}/")
        table = page.locator(".results").bounding_box()
        remarks = page.locator("td.field-shown_remarks").first.bounding_box()
        assert table is not None
        assert remarks is not None
        assert remarks["x"] + remarks["width"] <= table["x"] + table["width"]
