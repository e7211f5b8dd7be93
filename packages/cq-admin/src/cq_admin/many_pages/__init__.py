"""Many tasks at once: what would be done, and the operation that does it."""
