"""Durable tasks in the run: what is asked for, and what must have come of it."""
