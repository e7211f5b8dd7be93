"""Two versions or settings of cq that take short turns, so that a machine's moods fall on both."""
