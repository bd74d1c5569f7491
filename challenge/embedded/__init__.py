"""Embedded servers: a real PostgreSQL and a real Valkey for this checkout, out of PyPI wheels.

Used where ``DATABASE_URL`` and ``REDIS_URL`` are unset: development, the demo, the tests. One
*supervisor* process per data folder runs both servers as long as a *client* is connected to its
socket, so that the kernel counts the clients even when they are killed. When the last one is gone,
the supervisor stops the servers and ends.

    connection = embedded.connect(DataFolder(folder))  # starts the servers where they do not run
    python -m challenge.embedded keep -- make something

Addresses follow from the folder alone, so reading the settings starts nothing.
"""

from __future__ import annotations

from challenge.embedded.client import (
    EmbeddedServersError,
    ServerConnection,
    connect,
    connect_if_unset,
)
from challenge.embedded.data_folder import DataFolder, default_folder

__all__ = [
    "DataFolder",
    "EmbeddedServersError",
    "ServerConnection",
    "connect",
    "connect_if_unset",
    "default_folder",
]
