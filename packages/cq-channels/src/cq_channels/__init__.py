"""The workers that run the tasks of cq, and the doorbells that wake them."""

__version__ = "1.0.0"
