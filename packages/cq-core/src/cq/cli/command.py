"""A management command that is a group of verbs: ``manage.py cq VERB``."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from cq.conf import conf
from cq.db import missing_tables
from cq.text import harmless, unstorable

from .output import Output

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from .verb import Verb


def verbs_of(*modules: ModuleType) -> dict[str, Verb]:
    """Return the verbs of these modules, by name."""
    found: Iterable[Verb] = (verb for module in modules for verb in module.VERBS)
    return {verb.name: verb for verb in found}


class VerbCommand(BaseCommand):
    """A command that runs the verb it is told, or `alone` when told none."""

    verbs: ClassVar[dict[str, Verb]]
    #: Whether it is something without a verb.
    works_alone = False

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("formatter_class", RawDescriptionHelpFormatter)
        return super().create_parser(*args, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(
            dest="verb", metavar="VERB", required=not self.works_alone
        )
        for verb in self.verbs.values():
            verb_parser = verbs.add_parser(
                verb.name, help=verb.help, description=verb.help
            )
            verb.add_arguments(verb_parser)
            _accept_common_options(verb_parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] is None:
            self.alone()
            return
        _check_text(options)
        output = Output(
            self.stdout,
            as_json=options.get("format") == "json",
            color=not options["no_color"],
        )
        try:
            self.verbs[options["verb"]].run(output, options)
            self.stdout.flush()
        except CommandError as error:
            # It quotes names and reasons, which may come from anybody.
            text = harmless(str(error))
            raise CommandError(text, returncode=error.returncode) from None
        except DatabaseError as error:
            if remedy := missing_tables.remedy(error, conf.DATABASE):
                raise CommandError(remedy) from error
            raise
        except BrokenPipeError:
            # As in `| head`: whoever reads has seen enough. The interpreter flushes
            # once more at its end, which would say it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def alone(self) -> None:
        raise NotImplementedError


def _check_text(options: dict[str, Any]) -> None:
    """Raise CommandError for an argument that was no UTF-8, or that no database stores."""
    for name, value in options.items():
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str) and unstorable(text):
                shown = ascii(text)
                raise CommandError(
                    f"{name} is {shown}, which is no UTF-8 text; give it as such"
                )


def require_tables(*tables: str) -> None:
    """Raise CommandError if a table is missing: for commands that go on in an outage."""
    if remedy := missing_tables.find_missing(conf.DATABASE, *tables):
        raise CommandError(remedy)


def _accept_common_options(parser: ArgumentParser) -> None:
    """Let Django's own options stand behind the verb, too."""
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, default=SUPPRESS, help=SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=range(4), default=SUPPRESS, help=SUPPRESS
    )
