"""Durable tasks that are called serially: what cannot wait says so."""
