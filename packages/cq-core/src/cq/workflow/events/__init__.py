"""What is sent and published to tasks, and how it wakes those that wait for it."""
