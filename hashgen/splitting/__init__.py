"""Which posts train, validate and test, and what the split leaks."""
