"""The verbs that carry schedules from place to place: export, import."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.db.clock import database_now
from cq_scheduler.actions import import_export
from cq_scheduler.actions.import_export import REFUSED, Imported, Importer
from cq_scheduler.celery_beat.convert import PRIORITY_SIGNS, Converter
from cq_scheduler.celery_beat.tables import TablesMissing, periodic_tasks

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from cq.cli.output import Output

CELERY_BEAT = "celery-beat"

# --- export ---------------------------------------------------------------------------


def _export_arguments(parser: ArgumentParser) -> None:
    add_format(parser)


def export(output: Output, options: dict[str, Any]) -> None:
    """Write the schedules as JSON."""
    output.json(import_export.export_schedules(conf.DATABASE))


# --- import ---------------------------------------------------------------------------


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", help="what `export` has written; - reads from standard input"
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=(CELERY_BEAT,),
        help="instead of a file: the tables of django-celery-beat",
    )
    parser.add_argument(
        "--database",
        default=DEFAULT_DB_ALIAS,
        help="the alias of the database that has those tables (default: default)",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="the task OLD of Celery is registered as NEW; may be given again",
    )
    parser.add_argument(
        "--broker",
        choices=sorted(PRIORITY_SIGNS),
        default="",
        help="Celery's: by it priorities are carried over, or else left out",
    )
    parser.add_argument(
        "--allow-objects",
        action="store_true",
        help="the file may name rows of the database as arguments: you trust it",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    add_format(parser)


def import_(output: Output, options: dict[str, Any]) -> None:
    """Make schedules from a file, or from django-celery-beat, all in one transaction."""
    if (options["file"] is None) == (options["origin"] is None):
        raise CommandError(f"give a file, or --from {CELERY_BEAT}")
    using = conf.DATABASE
    with transaction.atomic(using=using):
        if options["origin"] == CELERY_BEAT:
            results = list(_from_celery_beat(using, options))
        else:
            results = list(_from_file(using, options))
        transaction.set_rollback(options["dry_run"], using=using)
    _report(output, results, dry_run=options["dry_run"])


def _from_file(using: str, options: dict[str, Any]) -> Iterator[Imported]:
    name = options["file"]
    importer = Importer(using, update=True)
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        given = import_export.parse_schedules(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{name}: {error}") from None
    for number, values in enumerate(given, start=1):
        title = values.get("name") if isinstance(values, dict) else None
        title = str(title or f"number {number}")
        try:
            row = import_export.build_row(
                values, allow_objects=options["allow_objects"]
            )
        except ValidationError as error:
            yield Imported(title, REFUSED, remarks=import_export.messages(error))
        else:
            yield importer.store(title, row)


def _from_celery_beat(using: str, options: dict[str, Any]) -> Iterator[Imported]:
    source = options["database"]
    if source not in connections:
        raise CommandError(f"--database: there is no {source!r} in DATABASES")
    importer = Importer(using, update=False)
    converter = Converter(
        database_now(using), _names(options["map"]), options["broker"]
    )
    try:
        for beat in periodic_tasks(source):
            try:
                converted = converter.convert(beat)
            except ValueError as error:
                yield Imported(beat.name, REFUSED, remarks=[str(error)])
            else:
                result = importer.store(beat.name, converted.row)
                result.remarks += converted.remarks
                yield result
    except TablesMissing as error:
        raise CommandError(str(error)) from None


def _names(texts: list[str]) -> dict[str, str]:
    names = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise CommandError(f"--map: {text!r} is not like old.name=new.name")
        names[old] = new
    return names


def _report(output: Output, results: list[Imported], *, dry_run: bool) -> None:
    refused = import_export.count_refused(results)
    if output.as_json:
        output.json(
            {
                "dry_run": dry_run,
                "schedules": [dataclasses.asdict(result) for result in results],
            }
        )
    else:
        for result in results:
            where = "" if result.id is None or dry_run else f" as {result.id}"
            output.line(f"{result.outcome}{where}: {result.name}")
            for remark in result.remarks:
                output.line(f"    {remark}")
        if dry_run:
            output.line("nothing has been written: this was a dry run")
    if refused:
        raise CommandError(
            f"{refused} of {len(results)} could not be carried over; the reasons stand "
            "beside them"
        )


VERBS = (
    Verb("export", "write the schedules as JSON", _export_arguments, export),
    Verb("import", "make schedules from elsewhere", _import_arguments, import_),
)
