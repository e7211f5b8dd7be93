"""Rows that know what they were read with, so that a save writes only what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class StoredRow(models.Model):
    """A row with the stored values of the columns that `watched` names."""

    watched: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **options: Any,  # of later Djangos
    ) -> Self:
        row = super().from_db(db, field_names, values, **options)
        row.remember(cls.watched)
        return row

    def refresh_from_db(  # type: ignore[override]
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, **options)
        self.remember(names or self.watched)

    def differs(self, name: str) -> bool:
        """Tell whether a watched column has another value than the one stored."""
        values = self.__dict__
        stored = values.get("_stored", {})
        return name in values and (name not in stored or values[name] != stored[name])

    def remember(self, names: Iterable[str]) -> None:
        """Take what the row holds now for what is stored."""
        values = self.__dict__
        stored = values.setdefault("_stored", {})
        for name in names:
            if name in self.watched and name in values:
                stored[name] = values[name]
