"""The file of an export, made a part at a time; its last line says where it was cut."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.db import DatabaseError
from django.utils import translation
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.ids import moment_of
from cq_admin.task_list.orders import BEFORE

from .walk import MOST_TASKS, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .formats import CSV, NDJSON
    from .records import Records
    from .walk import Walk


class File:
    """One file. url: the address that gives the same tasks, but for where it begins."""

    def __init__(
        self, walk: Walk, records: Records, form: CSV | NDJSON, url: str
    ) -> None:
        self._walk = walk
        self._records = records
        self._form = form
        self._url = url
        # The language of the reader, which is another's when the parts are made.
        self._language = translation.get_language()

    def parts(self) -> Iterator[str]:
        """Give the file; each part is read when it is asked for."""
        yield self._form.head()
        try:
            for rows in self._walk:
                yield self._form.lines(map(self._records.record, rows))
        except DatabaseError:
            yield self._cut("failure")
            raise
        if self._walk.cut:
            yield self._cut(self._walk.cut)

    def _cut(self, why: str) -> str:
        """Return the line that says where it ends, and the address that goes on."""
        behind, url = self._walk.behind, self._url
        with translation.override(self._language):
            said = [_why(why)]
            if behind is not None:
                joint = "&" if "?" in url else "?"
                url = f"{url}{joint}{urlencode({BEFORE: behind})}"
                back_to = moment_of(behind).isoformat(timespec="seconds")
                said.append(_("It was looked back to %(time)s.") % {"time": back_to})
            said.append(_("The rest:"))
        return self._form.cut(" ".join(said), url)


def _why(why: str) -> str:
    if why == "tasks":
        said = _("An export has no more than %(n)s tasks.")
        return said % {"n": number_format(MOST_TASKS, force_grouping=True)}
    if why == "time":
        said = _("An export takes no longer than %(n)s s.")
        return said % {"n": f"{PATIENCE:g}"}
    if why == "statement":
        said = _("A statement took more than %(n)s s (CQ_ADMIN_TIMEOUT).")
        return said % {"n": f"{conf.ADMIN_TIMEOUT or 0:g}"}
    return _("The database has failed.")
