"""The documented API as data, and what holds the installed packages against it."""
