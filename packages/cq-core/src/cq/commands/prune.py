"""The verb ``prune``: deletes finished tasks past their time to live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.cli.asker import note
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.maintenance.prune import has_more
from cq.maintenance.prune import prune as prune_some

if TYPE_CHECKING:
    from cq.cli.output import Output


def prune(output: Output, options: dict[str, Any]) -> None:
    deleted = 0
    while (count := prune_some(conf.DATABASE)) or has_more(conf.DATABASE):
        deleted += count
    note("cq prune", "tasks deleted", deleted)
    if output.as_json:
        output.json({"deleted": deleted})
    else:
        output.line(f"tasks deleted: {deleted}")


VERBS = (
    Verb(
        "prune",
        "delete finished tasks past their result_ttl, or CQ_RESULT_TTL",
        add_format,
        prune,
    ),
)
