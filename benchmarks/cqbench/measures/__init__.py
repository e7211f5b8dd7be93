"""A module for each kind: ``measure(quick)`` returns the benchmark's figures by key."""
