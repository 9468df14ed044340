"""Which posts are kept, and why others are dropped."""
