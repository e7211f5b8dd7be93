"""What a browser sends of the form of a task, and what comes of it."""

from __future__ import annotations

from typing import Any

from cq.models import Task


def data(given: dict[str, Any], name: str = "", **options: Any) -> dict[str, Any]:
    """What a browser sends of a form."""
    found = {f"argument-{key}": value for key, value in given.items()}
    options = {"queue": "default", "priority": "0", **options}
    found |= {f"option-{key}": value for key, value in options.items()}
    return {"name": name, **found} if name else found


def made(answer: Any) -> Task:
    assert answer.status_code == 302, errors(answer)
    return Task.objects.get(pk=answer["Location"].split("/")[-3])


def errors(answer: Any) -> dict[str, Any]:
    new = answer.context["cq_new"]
    found = dict(new.options.errors)
    return found | dict(new.arguments.errors if new.arguments else {})


def sent(answer: Any) -> dict[str, Any]:
    """What a browser would send of a form that nobody has touched."""
    new = answer.context["cq_new"]
    found: dict[str, Any] = {}
    for form in (new.arguments, new.options):
        for field in form or ():
            value = field.value()
            if isinstance(value, str):
                # As textareas do.
                value = value.replace("\r\n", "\n").replace("\n", "\r\n")
            if value is not None and value is not False:
                found[field.html_name] = "on" if value is True else str(value)
    return found
