"""What a score is, on plain lists of hashtags: figures of what is written, of a ranking, intervals, facets."""
