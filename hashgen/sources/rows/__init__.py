"""Rows of files as posts: values, and the formats that hold rows."""
