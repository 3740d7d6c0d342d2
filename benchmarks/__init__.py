"""What the project costs, as ratios: `python -m benchmarks`."""
