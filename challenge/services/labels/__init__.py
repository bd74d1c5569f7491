"""Sealed labels: keys, the jobs that install them, and their way to the scoring workers."""
