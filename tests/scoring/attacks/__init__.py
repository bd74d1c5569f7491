"""Hostile, broken and merely unusual uploads, built by code: see `table` and `accepted`."""
