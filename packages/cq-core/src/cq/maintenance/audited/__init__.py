"""The invariants of rows, by what they are rows of."""
