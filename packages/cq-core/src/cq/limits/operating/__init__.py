"""How named limits are operated while workers run, and what is told of limits."""
