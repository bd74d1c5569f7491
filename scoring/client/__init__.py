"""The participant's command, ``flair``: check, pack, submit and follow, from any terminal.

It imports the pure engine and nothing of the site, so it installs without Django.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from scoring.client.cli import run  # late: `flair --version` must not wait for numpy

    raise SystemExit(run())
