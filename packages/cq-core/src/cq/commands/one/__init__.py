"""The verbs that look at one task, and that speak to it."""
