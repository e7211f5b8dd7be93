"""What a project shows its own users of a task: who may see it, and how much."""
