"""What the project costs, as ratios: `python -m benchmarks` and `python -m benchmarks.transfer`."""
