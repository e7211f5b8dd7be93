"""A module for each system, imported only where its libraries are: ``SYSTEM`` in it."""
