"""The verbs that change many tasks, which flags choose."""
