"""What every room uses: problems, time, audit lines, background tasks, configuration and pages."""
