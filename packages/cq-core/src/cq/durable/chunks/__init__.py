"""The rows of a query as steps: some at a time."""
