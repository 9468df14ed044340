"""Suggestions while a post is being written: a model folder, a picture, a caption, and what a user wants of the answer.

Start at `suggester.py`.
"""
