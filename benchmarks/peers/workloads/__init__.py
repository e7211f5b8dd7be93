"""A module for each workload: ``measure(system, quick)`` returns figures by key."""
