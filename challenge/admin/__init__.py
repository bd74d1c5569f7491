"""The organisers' admin. Nothing here assigns a state: actions call the services."""

from challenge.admin import challenges, people, submissions

__all__ = ["challenges", "people", "submissions"]
