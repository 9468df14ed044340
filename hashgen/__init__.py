"""hashgen: hashtags for a photo and its caption.

The library behind the stages: it knows no command line, no DVC and no file of the repository by name.
"""
