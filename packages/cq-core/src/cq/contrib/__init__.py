"""What joins cq to other libraries, each an extra of cq-core."""
