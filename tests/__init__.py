"""Tests, in a folder for each part of the project; `doubles` holds what they share."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
