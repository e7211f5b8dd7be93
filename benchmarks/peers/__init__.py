"""cq beside other task queues: one protocol, and each system behind it."""
