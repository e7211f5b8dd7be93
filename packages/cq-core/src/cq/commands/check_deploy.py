"""The verb that looks, before a deploy, for calls that this code cannot make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.verb import Verb, add_format, positive
from cq.conf import conf
from cq.definitions.fitting import signature_file
from cq.maintenance.unfit_calls import unfit_calls

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output
    from cq.maintenance.unfit_calls import Report


def _arguments(parser: ArgumentParser) -> None:
    files = parser.add_mutually_exclusive_group()
    files.add_argument(
        "--write",
        metavar="FILE",
        help="write the signatures of this code's tasks there, and look at nothing",
    )
    files.add_argument(
        "--against",
        metavar="FILE",
        help="compare with the signatures that another release has written, and ask no "
        "database",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=5,
        help="how many calls to name for each finding (default 5)",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=60,
        help="how long to look at what waits (default 60)",
    )
    add_format(parser)


def check_deploy(output: Output, options: dict[str, Any]) -> None:
    """Write what does not fit; raises CommandError when anything does not."""
    limit = positive("--limit", options["limit"])
    seconds = positive("--seconds", options["seconds"])
    if options["write"] is not None:
        _write_file(options["write"])
    elif options["against"] is not None:
        _compare(output, options["against"])
    else:
        _look(output, unfit_calls(conf.DATABASE, limit=limit, seconds=seconds))


def _write_file(path: str) -> None:
    try:
        Path(path).write_text(signature_file.as_text(), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--write: {path!r} cannot be written: {error}") from None


def _compare(output: Output, path: str) -> None:
    try:
        released = signature_file.read(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(
            f"--against: {path!r} is no file of signatures ({error}); write one by "
            "`manage.py cq check-deploy --write FILE` of the release that runs"
        ) from None
    found = [(name, *misfit) for name, misfit in signature_file.misfits(released)]
    if output.as_json:
        columns = ("task", "parameter", "problem")
        findings = [dict(zip(columns, row, strict=True)) for row in found]
        output.json({"findings": findings, "tasks": len(released)})
    elif found:
        _table(output, ("task", "parameter", "problem"), found)
    else:
        output.line(f"calls of {len(released)} tasks fit this code")
    if found:
        raise CommandError(_failed({name for name, _, _ in found}))


def _look(output: Output, report: Report) -> None:
    if output.as_json:
        output.json(
            {
                "findings": [
                    {
                        "task": finding.task,
                        "parameter": finding.parameter or None,
                        "problem": finding.problem,
                        "total": finding.total,
                        "tasks": [pk for kind, pk in finding.calls if kind == "task"],
                        "schedules": [
                            pk for kind, pk in finding.calls if kind != "task"
                        ],
                    }
                    for finding in report.findings
                ],
                "looked_at": report.looked_at,
                "whole": report.whole,
            }
        )
    else:
        _write(output, report)
    if report.findings:
        raise CommandError(_failed({finding.task for finding in report.findings}))


def _write(output: Output, report: Report) -> None:
    rows: list[tuple[str, str, str, str]] = []
    for finding in report.findings:
        what = (finding.task, finding.parameter, finding.problem)
        rows += [(*what, f"{kind} {pk}") for kind, pk in finding.calls]
        if finding.total > len(finding.calls):
            rows.append((*what, f"... {finding.total} in all"))
    if rows:
        _table(output, ("task", "parameter", "problem", "call"), rows)
    looked_at = ", ".join(f"{n} of {kind}s" for kind, n in report.looked_at.items())
    output.line(f"waiting calls looked at: {looked_at or 'none'}")
    if not report.whole:
        output.line("The time was over before all were; --seconds gives more.")
    if not rows:
        output.line("all of them fit this code")


def _table(output: Output, columns: Any, rows: Any) -> None:
    # Nothing but a parameter is ever empty.
    output.table(columns, [[cell or None for cell in row] for row in rows])


def _failed(names: set[str]) -> str:
    return f"calls do not fit this code: {', '.join(sorted(names))}"


VERBS = (
    Verb(
        "check-deploy",
        "look for waiting calls that this code cannot make",
        _arguments,
        check_deploy,
    ),
)
