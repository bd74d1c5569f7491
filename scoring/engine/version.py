"""The engine's version, recorded in every score.

Raise it whenever any number of a golden score card (tests/scoring/golden) changes: two scores
are comparable only under the same version, and stored scores of an older one are re-scored.
"""

ENGINE_VERSION = "1.1.0"
