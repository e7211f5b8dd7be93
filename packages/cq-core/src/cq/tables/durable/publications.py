"""The table of what was published to topics, as an abstract model."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from cq import codec
from cq.fields import EncodedField
from cq.tables.rows import EncodedRow

from .rows import LONGEST_STEP


class PublicationRow(EncodedRow):
    """What was published to a topic: a message to each task that waits for it."""

    id = models.BigAutoField(primary_key=True)
    topic = models.CharField(max_length=LONGEST_STEP)
    #: What counts once for a topic, as long as the row is there; None: each.
    key = models.CharField(  # noqa: DJ001
        max_length=LONGEST_STEP, null=True, db_column="publication_key"
    )
    payload: Any = EncodedField(default=codec.Encoded("null"))
    published = models.DateTimeField()
    #: Who comes to wait before that gets it as well; None: only who waits already.
    until = models.DateTimeField(null=True)
    #: When the row may be deleted.
    over = models.DateTimeField()
    #: Whether those have it that waited as it was committed.
    delivered = models.BooleanField(default=False)

    class Meta:
        abstract = True
        db_table = "cq_publications"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["topic", "key"], name="cq_publication_key"),
        )
        indexes = (
            models.Index(
                fields=["topic", "id"],
                name="cq_undelivered",
                condition=Q(delivered=False),
            ),
            models.Index(fields=["over"], name="cq_publication_over"),
            models.Index(
                fields=["until"], name="cq_kept", condition=Q(until__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return self.topic

    def decode_field(self, name: str, text: str) -> Any:
        """Decode what was published."""
        return codec.decode(text)
