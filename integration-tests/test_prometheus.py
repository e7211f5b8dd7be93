"""The metrics as Prometheus has them: its text, its view, its rules and its dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from examples import blocks
from floor.tasks import square
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cq.conf import problem
from cq.contrib.prometheus import metrics
from cq.metrics import FAMILIES, read
from cq.metrics.exposition import exposition
from cq.models import Task
from cq.settings import SHORTEST_TOKEN
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse

pytestmark = pytest.mark.django_db

DOCS = Path(__file__).resolve().parent.parent / "docs" / "prometheus"
RULES = DOCS / "rules.yml"
DASHBOARD = DOCS / "grafana.json"
TOKEN = "as-long-as-a-token-has-to-be"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HOSTILE = 'say "hi"\\n\n{x="1"} # HELP \\'


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_METRICS_TOKEN = TOKEN


def get(method: str = "GET", token: str | None = TOKEN, **headers: str) -> HttpResponse:
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = RequestFactory().generic(method, "/metrics", headers=headers)
    answer: HttpResponse = metrics(request)
    return answer


def some_tasks() -> None:
    for number in range(3):
        square.using(queue="mail").delay(number)
    run_tasks()
    square.delay(4)


def by_name(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


# --- the text -------------------------------------------------------------------------


def test_the_official_parser_reads_what_the_view_answers() -> None:
    some_tasks()

    answer = get()

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found = by_name(answer.content.decode())
    for name, family in FAMILIES.items():
        assert found[name].type == family.kind
        assert found[name].documentation == family.help
        for sample in found[name].samples:
            assert set(sample.labels) - {"le"} == set(family.labels)
    counts = {tuple(s.labels.values()): s.value for s in found["cq_tasks"].samples}
    assert counts["mail", "COMPLETE"] == 3
    assert counts["default", "QUEUED"] == 1
    [ended] = found["cq_task_seconds_gcount"].samples
    assert ended.labels == {"queue": "mail", "name": "floor.tasks.square"}
    assert ended.value == 3


def test_the_official_parser_reads_openmetrics() -> None:
    some_tasks()

    answer = get(accept=OPENMETRICS)

    assert answer["Content-Type"].startswith(OPENMETRICS)
    text = answer.content.decode()
    found = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}
    assert set(found) == set(FAMILIES)
    assert found["cq_task_seconds"].type == "gaugehistogram"
    assert found["cq_tasks"].type == "gauge"


def test_names_that_would_break_the_text_come_back_whole() -> None:
    some_tasks()
    Task.objects.filter(queue="mail").update(name=HOSTILE, queue=HOSTILE)

    text, _ = exposition(read())
    found = by_name(text.decode())
    opened, _ = exposition(read(), OPENMETRICS)

    assert set(FAMILIES) <= set(found)
    labels = [sample.labels for sample in found["cq_wait_seconds_gcount"].samples]
    assert labels == [{"queue": HOSTILE, "name": HOSTILE}]
    assert {"queue": HOSTILE, "status": "COMPLETE"} in [
        sample.labels for sample in found["cq_tasks"].samples
    ]
    again = openmetrics.text_string_to_metric_families(opened.decode())
    assert HOSTILE in {s.labels.get("name") for f in again for s in f.samples}


@pytest.mark.parametrize(
    "accept",
    ["text/plain;version=x.y", "application/openmetrics-text;version=abc", "\x7f;;=,"],
)
def test_an_accept_header_that_means_nothing_gets_the_plain_format(accept: str) -> None:
    some_tasks()
    answer = get(accept=accept)
    assert answer.status_code == 200
    assert by_name(answer.content.decode())["cq_tasks"].samples


def test_buckets_add_up_and_end_in_the_count() -> None:
    some_tasks()
    found = by_name(get().content.decode())
    for name in ("cq_task_seconds", "cq_wait_seconds"):
        buckets = [sample.value for sample in found[name].samples]
        assert buckets == sorted(buckets)
        assert found[name].samples[-1].labels["le"] == "+Inf"
        assert buckets[-1] == found[f"{name}_gcount"].samples[0].value == 3


# --- the view -------------------------------------------------------------------------


def test_row_s19_nobody_sees_metrics_while_there_is_no_token(settings: Any) -> None:
    some_tasks()
    del settings.CQ_METRICS_TOKEN
    for token in (None, "", "None", "False", TOKEN):
        answer = get(token=token)
        assert answer.status_code == 403
        assert b"CQ_METRICS_TOKEN is not set" in answer.content
        assert b"mail" not in answer.content


@pytest.mark.parametrize(
    "token", [None, "", "wrong", TOKEN[:-1], f"{TOKEN}x", "ä" * 16]
)
def test_row_s19_who_has_not_the_token_sees_no_metrics(token: str | None) -> None:
    some_tasks()
    answer = get(token=token)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="cq metrics"'
    assert b"mail" not in answer.content


def test_the_token_is_no_password_of_another_scheme() -> None:
    assert get(token=None, authorization=f"Basic {TOKEN}").status_code == 401
    assert get(token=None, authorization=TOKEN).status_code == 401
    assert get(token=None, authorization=f"bearer {TOKEN}").status_code == 200


def test_false_says_that_the_project_decides(settings: Any) -> None:
    settings.CQ_METRICS_TOKEN = False
    assert get(token=None).status_code == 200


def test_it_is_read_and_nothing_else_and_no_cache_keeps_it() -> None:
    head = get("HEAD")
    assert head.status_code == 200
    assert "no-store" in get()["Cache-Control"]
    for method in ("POST", "PUT", "DELETE"):
        assert get(method).status_code == 405


@pytest.mark.parametrize(
    "token", [True, "", "short", "with a blank in its middle", "ä" * 20]
)
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: Any) -> None:
    wrong = problem("METRICS_TOKEN", token)
    assert wrong is not None
    assert "CQ_METRICS_TOKEN" in wrong
    if token and token is not True:
        assert token not in wrong


def test_a_token_may_be_none_false_or_long_enough() -> None:
    for token in (None, False, "x" * SHORTEST_TOKEN):
        assert problem("METRICS_TOKEN", token) is None


def test_the_settings_are_shown_without_the_token() -> None:
    for form in ("text", "json"):
        out = StringIO()
        call_command("cq", "settings", "--format", form, stdout=out)
        assert "CQ_METRICS_TOKEN" in out.getvalue()
        assert TOKEN not in out.getvalue()


def test_without_its_database_the_target_is_down(settings: Any) -> None:
    with connection.execute_wrapper(_breaks):
        answer = get()
    assert answer.status_code == 503
    assert b"the database 'default' cannot be read: it is away" in answer.content


def _breaks(*args: Any) -> Any:
    from django.db import OperationalError

    raise OperationalError("it is away")


def test_the_page_sets_it_up(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setenv("CQ_METRICS_TOKEN", TOKEN)
    token, address, own = blocks("docs/metrics.md")
    found: dict[str, Any] = {}
    for block in (token, address):
        exec(block, found)
    assert found["CQ_METRICS_TOKEN"] == TOKEN
    [pattern] = found["urlpatterns"]
    assert pattern.resolve("metrics").func is metrics

    settings.CQ_METRICS_TOKEN = False
    exec(own, found)
    view = found["urlpatterns"][0].callback
    request = RequestFactory().get("/metrics")
    request.user = AnonymousUser()
    assert view(request).status_code == 302
    request.user = get_user_model()(is_staff=True, is_active=True)
    assert view(request).status_code == 200


# --- the command ----------------------------------------------------------------------


def text_of(*arguments: str) -> str:
    out = StringIO()
    call_command("cq", "metrics", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_writes_the_same_text() -> None:
    some_tasks()
    assert set(by_name(text_of())) == set(by_name(get().content.decode()))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    some_tasks()
    target = tmp_path / "cq.prom"
    target.write_text("of an hour ago")
    assert text_of("--output", str(target)) == ""
    assert set(FAMILIES) <= set(by_name(target.read_text()))
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        text_of("--output", str(tmp_path / "nowhere" / "cq.prom"))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    with pytest.raises(CommandError, match=r"its extra: cq-core\[prometheus\]"):
        text_of()
    with pytest.raises(ImportError, match=r"its extra: cq-core\[prometheus\]"):
        get()
    out = StringIO()
    call_command("cq", "metrics", "--format", "json", stdout=out)
    assert set(json.loads(out.getvalue())) == set(FAMILIES)


def test_who_does_not_ask_for_it_does_not_load_the_library() -> None:
    script = (
        "import sys, django; django.setup()\n"
        "import cq.contrib.prometheus, cq.management.commands.cq\n"
        "print('prometheus_client' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    env = {"DJANGO_SETTINGS_MODULE": "django.conf.global_settings"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "False\n", done.stderr


# --- rules and dashboard --------------------------------------------------------------

#: What there is of a family, by its kind.
SERIES = {
    f"{name}{end}"
    for name, family in FAMILIES.items()
    for end in (
        ("_bucket", "_gcount", "_gsum") if family.kind == "histogram" else ("",)
    )
}


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of the rules and of the dashboard, with where it stands."""
    for block in re.findall(
        r"(?m)^ +expr: (?:[|>]-?\n((?: {10,}.*\n)+)|(.*)\n)", RULES.read_text()
    ):
        yield RULES.name, " ".join("".join(block).split())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_rules_and_panels_ask_for_series_that_there_are() -> None:
    found = list(expressions())
    assert len(found) >= RULES.read_text().count("expr:") + 8
    unknown = [
        (where, name)
        for where, expression in found
        for name in re.findall(r"\bcq_\w+", expression)
        if name not in SERIES
    ]
    assert unknown == []
    asked = {n for _, e in found for n in re.findall(r"\bcq_\w+", e)}
    for family in FAMILIES:
        assert any(name.startswith(family) for name in asked), (
            f"nobody asks for {family}"
        )


def test_rules_and_panels_select_by_labels_that_there_are() -> None:
    for where, expression in expressions():
        for name, inside in re.findall(r"\b(cq_\w+)\{(.*?)\}", expression):
            family = FAMILIES[re.sub("_(bucket|gcount|gsum)$", "", name)]
            labels = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", inside))
            assert labels <= set(family.labels), (where, expression)
        assert "rate(" not in expression, f"{where}: no metric of cq is a counter"


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"] == "cq"
    assert [each["name"] for each in board["templating"]["list"]] == [
        "datasource",
        "queue",
    ]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert all(
        panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"]
    )


# --- promtool -------------------------------------------------------------------------


def promtool(*arguments: str, said: bytes = b"") -> None:
    found = shutil.which("promtool")
    assert found, "there is no promtool: apt-get install prometheus"
    done = subprocess.run(
        [found, *arguments],
        input=said,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.promtool
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    some_tasks()
    promtool("check", "metrics", said=get().content)
    Task.objects.filter(queue="mail").update(name=HOSTILE, queue=HOSTILE)
    promtool("check", "metrics", said=get().content)


@pytest.mark.promtool
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool("check", "rules", str(RULES))


@pytest.mark.promtool
def test_promtool_sees_each_rule_fire_when_it_should_and_not_before() -> None:
    promtool("test", "rules", str(DOCS / "rules.test.yml"))


@pytest.mark.promtool
def test_promtool_can_read_each_panel(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$queue", ".*")}
        for number, (_, expression) in enumerate(expressions())
    ]
    # JSON is YAML, too.
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))
