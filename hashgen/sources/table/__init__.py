"""Rows of a CSV, TSV, JSON Lines or Parquet file."""
