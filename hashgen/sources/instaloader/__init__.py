"""A download folder of instaloader."""
