"""Checks of an installation, each of one part; ``manage.py doctor`` runs them."""
