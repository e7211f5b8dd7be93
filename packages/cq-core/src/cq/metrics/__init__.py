"""Figures of queues, runs and workers, read from the tables at a bounded cost.

Five statements on PostgreSQL and SQLite, each of which stops after some thousand rows,
however many there are. They are read anew for each scrape: nothing is kept anywhere.
"""

from .families import FAMILIES, Family, Sample
from .reading import read

__all__ = ["FAMILIES", "Family", "Sample", "read"]
