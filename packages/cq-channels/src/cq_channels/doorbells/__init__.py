"""The doorbells: the ways to wake a worker, and which of them is taken."""

from __future__ import annotations

from django.db import connections

from cq.conf import conf
from cq.db.statements import speaks_psycopg
from cq_channels.channel_layers import layers

from .data_version import DataVersion
from .layer import Layer
from .notify import Notify
from .protocol import NoDoorbell, Transport, Wake

__all__ = ["NoDoorbell", "Notify", "Transport", "Wake", "choose"]


def choose(using: str) -> Transport:
    """Return the doorbell for the tasks of this database.

    It is the channel layer that ``CQ_CHANNEL_LAYER`` names, if other processes can reach
    it; else what the database has; else none: workers look at the table all the same.
    """
    alias = conf.CHANNEL_LAYER
    if layers.reaches_others(alias):
        return Layer(alias)
    connection = connections[using]
    if speaks_psycopg(connection):
        return Notify(using)
    if connection.vendor == "sqlite":
        return DataVersion(using)
    return NoDoorbell()
