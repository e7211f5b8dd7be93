"""The verb that looks for broken promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.verb import Verb, add_format, positive
from cq.conf import conf
from cq.maintenance import audit as auditor

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output
    from cq.maintenance.audit import Report


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        type=int,
        default=20,
        help="how many tasks to name for each finding (default 20)",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=60,
        help="how long to go through the tables, newest rows first (default 60)",
    )
    add_format(parser)


def audit(output: Output, options: dict[str, Any]) -> None:
    """Write what is broken; raises CommandError when anything is."""
    report = auditor.audit(
        conf.DATABASE,
        limit=positive("--limit", options["limit"]),
        seconds=positive("--seconds", options["seconds"]),
    )
    if output.as_json:
        _write_json(output, report)
    else:
        _write(output, report)
    if report.findings:
        broken = dict.fromkeys(finding.invariant for finding in report.findings)
        raise CommandError(f"broken invariants: {', '.join(broken)}")


def _write_json(output: Output, report: Report) -> None:
    findings = [
        {
            "invariant": finding.invariant,
            "what": finding.what,
            "total": finding.total,
            "tasks": [str(pk) for pk in finding.tasks],
        }
        for finding in report.findings
    ]
    output.json(
        {"findings": findings, "looked_at": report.looked_at, "whole": report.whole}
    )


def _write(output: Output, report: Report) -> None:
    rows: list[tuple[str, str, str]] = []
    for finding in report.findings:
        rows += [(finding.invariant, str(pk), finding.what) for pk in finding.tasks]
        if finding.total > len(finding.tasks):
            rows.append(
                (
                    finding.invariant,
                    "...",
                    f"{finding.what} ({_most(finding.total)} rows)",
                )
            )
    if rows:
        output.table(("invariant", "task", "what"), rows)
    looked_at = ", ".join(f"{n} of {table}" for table, n in report.looked_at.items())
    output.line(f"rows looked at: {looked_at}")
    if not report.whole:
        output.line("The time was over before all were; --seconds gives more.")
    if not rows:
        output.line("no invariant is broken")


def _most(count: int) -> str:
    return f"{count} or more" if count >= auditor.MAX_ROWS else str(count)


VERBS = (Verb("audit", "look for tasks that break a promise", _arguments, audit),)
