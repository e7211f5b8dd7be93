"""A shop that imports its catalogue."""
