"""Every text for people is there in each language, and what is installed is what was
translated."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import polib
import pytest
from django.utils import translation
from django.utils.translation.template import templatize

import cq
import cq_admin
import cq_channels
import cq_scheduler

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

LANGUAGES = ("de", "es", "fr")
PACKAGES = [
    Path(package.__file__).parent
    for package in (cq, cq_channels, cq_scheduler, cq_admin)
]
MARKERS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
PLACEHOLDER = re.compile(r"%\(\w+\)s|%s|\{\}")


def marked(package: Path) -> set[str]:
    """The texts that a package's code and templates give to be translated."""
    sources = [path.read_text() for path in package.rglob("*.py")]
    sources += [
        # Python, but for what stands between the calls.
        "\n".join(re.findall(r"n?gettext\(.*?\) ", templatize(path.read_text())))
        for path in package.rglob("*.html")
    ]
    found = set()
    for source in sources:
        for node in ast.walk(ast.parse(re.sub(r"(?m)^ +(?=n?gettext)", "", source))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKERS:
                text = node.args[0]
                assert isinstance(text, ast.Constant), ast.unparse(node)
                found.add(str(text.value))
    return found


def catalog(package: Path, language: str, kind: str) -> Path:
    return package / "locale" / language / "LC_MESSAGES" / f"django.{kind}"


def translations(entry: polib.POEntry) -> list[str]:
    return [*entry.msgstr_plural.values()] or [entry.msgstr]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_text_is_translated(package: Path, language: str) -> None:
    entries = polib.pofile(str(catalog(package, language, "po")))
    assert {entry.msgid for entry in entries} == marked(package)
    for entry in entries:
        assert not entry.fuzzy
        wanted = sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for text in translations(entry):
            assert text, entry.msgid
            # The form for one may say it in words.
            found = sorted(PLACEHOLDER.findall(text))
            assert found == wanted or (entry.msgid_plural and not found), text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_what_is_installed_is_what_was_translated(package: Path, language: str) -> None:
    written = polib.pofile(str(catalog(package, language, "po")))
    compiled = polib.mofile(str(catalog(package, language, "mo")))
    assert {entry.msgid: translations(entry) for entry in compiled} == {
        entry.msgid: translations(entry) for entry in written
    }


def test_the_reader_gets_them() -> None:
    with translation.override("de"):
        assert translation.gettext("next ten runs") == "nächste zehn Läufe"
        assert cq.Status.LOST.label == "verloren"
