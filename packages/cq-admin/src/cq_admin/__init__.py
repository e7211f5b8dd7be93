"""cq in the Django admin."""

__version__ = "1.0.0"
