"""Drawn pictures of the sample's scenes."""
