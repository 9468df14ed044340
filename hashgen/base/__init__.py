"""What every room builds on: errors, atomic files, locks, progress, processes, devices."""
