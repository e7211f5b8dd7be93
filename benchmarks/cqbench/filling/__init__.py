"""Rows as years of work leave them, made by the database itself."""
