"""hashgen: hashtags for a photo and its caption.

The library behind the stages: it knows nothing of command lines, of what runs the stages, or of the repository's files.
"""
