"""Limits as workers keep them: which lanes may start how many of their tasks, and when."""
