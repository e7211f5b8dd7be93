"""What joins schedules to other libraries, each an extra of cq-scheduler."""
