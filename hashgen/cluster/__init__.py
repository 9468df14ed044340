"""Stages past one machine: the same functions, spread over a cluster by Ray Data."""
