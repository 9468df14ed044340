"""The drawn sample: its world, captions, pictures and ceiling."""
