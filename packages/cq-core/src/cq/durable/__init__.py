"""Durable tasks: steps that are kept, and found again by a rerun of their function."""
