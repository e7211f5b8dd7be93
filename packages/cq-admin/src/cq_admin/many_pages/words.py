"""What the page says: a filter, and what would be done to whom, in the reader's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from cq.operations import preview, verbs
from cq.operations.filter import TOP
from cq.status import SUCCEEDED
from cq_admin.display.html import moment, visible

if TYPE_CHECKING:
    from django.utils.functional import Promise

    from cq.operations.filter import TaskFilter
    from cq.operations.preview import Preview
    from cq.operations.verbs import Verb


@dataclass(frozen=True, slots=True, eq=False)
class VerbWords:
    """The words of a verb: its title, its button, what it will do to n tasks, and did."""

    title: Promise
    button: Promise
    will: Promise
    did: Promise


VERB_WORDS = {
    verbs.RETRY.name: VerbWords(
        gettext_lazy("Retry many tasks"),
        gettext_lazy("Retry"),
        ngettext_lazy("%(n)s task will run again.", "%(n)s tasks will run again.", "n"),
        ngettext_lazy("%(n)s task runs again.", "%(n)s tasks run again.", "n"),
    ),
    verbs.REVOKE.name: VerbWords(
        gettext_lazy("Revoke many tasks"),
        gettext_lazy("Revoke"),
        ngettext_lazy(
            "%(n)s task will be revoked, with what is open below it.",
            "%(n)s tasks will be revoked, with what is open below them.",
            "n",
        ),
        ngettext_lazy("%(n)s task was revoked.", "%(n)s tasks were revoked.", "n"),
    ),
    verbs.NOW.name: VerbWords(
        gettext_lazy("Queue many tasks now"),
        gettext_lazy("Queue now"),
        ngettext_lazy(
            "%(n)s task will be queued now, and not wait for its time.",
            "%(n)s tasks will be queued now, and not wait for their time.",
            "n",
        ),
        ngettext_lazy("%(n)s task was queued.", "%(n)s tasks were queued.", "n"),
    ),
    verbs.PRIORITY.name: VerbWords(
        gettext_lazy("Change the priority of many tasks"),
        gettext_lazy("Change priority"),
        ngettext_lazy(
            "%(n)s task will get another priority.",
            "%(n)s tasks will get another priority.",
            "n",
        ),
        ngettext_lazy(
            "%(n)s task has another priority.",
            "%(n)s tasks have another priority.",
            "n",
        ),
    ),
    verbs.QUEUE.name: VerbWords(
        gettext_lazy("Move many tasks to another queue"),
        gettext_lazy("Move"),
        ngettext_lazy(
            "%(n)s task will be moved to another queue.",
            "%(n)s tasks will be moved to another queue.",
            "n",
        ),
        ngettext_lazy("%(n)s task was moved.", "%(n)s tasks were moved.", "n"),
    ),
}

_WHY_LEFT = {
    verbs.CONTAINER: gettext_lazy(
        "groups and chains have no function; retry their subtasks"
    ),
    verbs.HISTORY: gettext_lazy("of an attempt of their parent that is over"),
    verbs.OPERATIONS: gettext_lazy("operations are not changed by others"),
    verbs.WAITS: gettext_lazy("wait for other tasks, not for a time"),
    preview.STATUS: gettext_lazy("not in this status"),
}


class Count(int):
    """A number of tasks, which shows with its thousands."""

    def __str__(self) -> str:
        return number_format(int(self), force_grouping=True)


def number(count: int) -> str:
    return str(Count(count))


def filter_words(chosen: TaskFilter) -> list[tuple[str, Any]]:
    """Return what a filter asks for, as labels with values."""
    words: list[tuple[str, Any]] = []
    if chosen.ids is not None:
        words.append((_("Tasks"), number(len(chosen.ids))))
    if chosen.status is not None:
        words.append((_("Status"), ", ".join(str(s.label) for s in chosen.status)))
    for label, values in ((_("Task"), chosen.name), (_("Queue"), chosen.queue)):
        if values is not None:
            words.append((label, ", ".join(map(visible, values))))
    if chosen.since is not None:
        words.append((_("Submitted since"), moment(chosen.since)))
    if chosen.until is not None:
        words.append((_("Submitted before"), moment(chosen.until)))
    if chosen.root is not None:
        words.append((_("Top-level task"), str(chosen.root)))
    if chosen.parent is not None:
        words.append((_("Parent"), str(chosen.parent)))
    if chosen.worker is not None:
        words.append((_("Worker"), ", ".join(map(str, chosen.worker))))
    if chosen.tag is not None:
        words.append((_("Tags"), visible(", ".join(chosen.tag))))
    if chosen.level is not None:
        is_top = chosen.level == TOP
        words.append((_("Level"), _("Top-level tasks") if is_top else _("Subtasks")))
    return words or [(_("Tasks"), _("all"))]


def will(verb: Verb, seen: Preview) -> Any:
    """Return what would be done, to how many tasks."""
    count = seen.applies
    if count is None:
        return _("There are more tasks than could be counted in time.")
    said = VERB_WORDS[verb.name].will % {"n": Count(count)}
    return _("At least: %(what)s") % {"what": said} if seen.capped else said


def warnings(verb: Verb, seen: Preview) -> list[str]:
    """Return what should be known before."""
    if verb is not verbs.RETRY:
        return []
    counts = seen.of_verb.counts or Counter()
    again = sum(n for (s, why), n in counts.items() if s in SUCCEEDED and not why)
    if not again:
        return []
    said = _(
        "Of these %(n)s have succeeded: what they do outside of the database, such as "
        "mail that they send, will be done once more."
    )
    return [said % {"n": number(again)}]


def left(seen: Preview) -> list[tuple[str, str, str]]:
    """Return what the verb is not for: a status, how many, and why."""
    return [
        (status, number(count), str(_WHY_LEFT[why])) for status, why, count in seen.left
    ]


def as_text(verb: Verb, chosen: TaskFilter, count: int | None, reason: str) -> str:
    """Return an operation as one line, for the history."""
    found = chosen.as_json()
    if chosen.ids is not None:
        found["ids"] = number(len(chosen.ids))
    parts = [
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in found.items()
    ]
    what = "?" if count is None else number(count)
    chosen_by = "; ".join(parts) or _("all")
    words = f"{VERB_WORDS[verb.name].title} ({what}): {chosen_by}."
    return visible(f"{words} {reason}".strip())
