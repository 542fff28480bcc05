"""SQLite files, read by Python's own module."""
