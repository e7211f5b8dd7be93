"""The tables of what people look at, as abstract models: what is watched, views they keep."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

#: Of a view's name, of what its address asks for, and of the key of a user.
LONGEST_VIEW_NAME = 100
LONGEST_QUERY = 2_000
LONGEST_OWNER = 100


class WatcherRow(models.Model):
    """A top-level task that somebody watches until that moment."""

    root = models.UUIDField(primary_key=True)
    until = models.DateTimeField()

    class Meta:
        abstract = True
        db_table = "cq_watchers"
        default_permissions = ()
        indexes = (models.Index(fields=["until"], name="cq_watcher_until"),)


class SavedViewRow(models.Model):
    """What somebody asks the list of tasks for again and again, under a name."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=LONGEST_VIEW_NAME)
    #: As it stands behind the question mark of the list's address.
    query = models.TextField()
    #: The key of the user, as text: users may be in another database.
    owner = models.CharField(max_length=LONGEST_OWNER)
    #: Whether all who see the list have it.
    shared = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True
        db_table = "cq_views"
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        default_permissions = ()
        permissions = (("share_view", "Can share views of the list of tasks"),)
        indexes = (
            models.Index(fields=["owner", "id"], name="cq_view_owner"),
            models.Index(fields=["shared", "id"], name="cq_view_shared"),
        )
        constraints = (
            models.UniqueConstraint(fields=["owner", "name"], name="cq_view_name"),
        )

    def __str__(self) -> str:
        return self.name
