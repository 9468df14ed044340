"""The split into training, validation and test posts, and what it leaks."""
