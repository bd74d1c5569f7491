"""System checks: misconfiguration is said at start, with a hint, not found out at night."""

from __future__ import annotations
