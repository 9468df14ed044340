"""Instagram through instaloader: polite, and resumable after any stop."""
