"""Embedded engines: a real PostgreSQL and a real Valkey for this checkout, out of PyPI wheels.

Used where ``DATABASE_URL`` and ``REDIS_URL`` are unset: development, the demo, the tests. One
*keeper* process per data folder owns both servers and lives as long as somebody *holds* it: a
holder keeps a connection to the keeper's socket open, so that the kernel counts the holders even
when they are killed. The last one gone, the keeper stops the servers and leaves.

    held = engines.hold(folder)       # starts them, or joins those that run; released on exit
    python -m challenge.config.engines exec -- make something

Addresses follow from the folder alone, so reading the settings starts nothing.
"""

from __future__ import annotations

from challenge.config.engines.holder import EnginesError, Held, hold, hold_if_unset
from challenge.config.engines.places import Place, default_folder

__all__ = ["EnginesError", "Held", "Place", "default_folder", "hold", "hold_if_unset"]
