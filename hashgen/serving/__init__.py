"""Suggestions over HTTP, and the page that asks for them while a post is being written."""
