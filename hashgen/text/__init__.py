"""Captions and hashtags as text: cleaning, language, tokens, vocabularies."""
