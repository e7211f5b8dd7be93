"""All that is QUEUED, for those who look at it: also what limits hold back."""
