"""What is measured, never asserted on time: run one as `python -m benchmarks.NAME`."""
