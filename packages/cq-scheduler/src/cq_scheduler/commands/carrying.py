"""Verbs that carry schedules from place to place: export, import."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from cq.clock import database_now
from cq.commands.verbs import Verb, add_format
from cq.conf import conf

from .. import exchange
from ..celery_beat.carrying import BROKERS, Carrier
from ..celery_beat.tables import TablesMissing, periodic_tasks
from ..exchange import REFUSED, Imported

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from cq.commands.output import Output

CELERY_BEAT = "celery-beat"

# --- export ---------------------------------------------------------------------------


def _export_arguments(parser: ArgumentParser) -> None:
    add_format(parser)


def export(output: Output, options: dict[str, Any]) -> None:
    output.json(exchange.exported(conf.DATABASE))


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
        choices=sorted(BROKERS),
        default="",
        help="Celery's: by it priorities are carried over, or else left out",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    add_format(parser)


def import_(output: Output, options: dict[str, Any]) -> None:
    if (options["file"] is None) == (options["origin"] is None):
        raise CommandError(f"give a file, or --from {CELERY_BEAT}")
    using = conf.DATABASE
    with transaction.atomic(using=using):
        if options["origin"] == CELERY_BEAT:
            results = list(_from_celery_beat(using, options))
        else:
            results = list(_from_file(using, options["file"]))
        transaction.set_rollback(options["dry_run"], using=using)
    _report(output, results, dry_run=options["dry_run"])


def _from_file(using: str, name: str) -> Iterator[Imported]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        given = exchange.parsed(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{name}: {error}") from None
    for number, values in enumerate(given, start=1):
        title = values.get("name") if isinstance(values, dict) else None
        title = str(title or f"number {number}")
        try:
            row = exchange.row_of(values)
        except ValidationError as error:
            yield Imported(title, REFUSED, remarks=exchange.messages(error))
        else:
            yield exchange.store(using, title, row, update=True)


def _from_celery_beat(using: str, options: dict[str, Any]) -> Iterator[Imported]:
    source = options["database"]
    if source not in connections:
        raise CommandError(f"--database: there is no {source!r} in DATABASES")
    carrier = Carrier(database_now(using), _names(options["map"]), options["broker"])
    try:
        for beat in periodic_tasks(source):
            try:
                carried = carrier.carry(beat)
            except ValueError as error:
                yield Imported(beat.name, REFUSED, remarks=[str(error)])
            else:
                result = exchange.store(using, beat.name, carried.row, update=False)
                result.remarks += carried.remarks
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
    refused = exchange.refused(results)
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
