"""The participant's command, ``flair``: check, pack, submit and follow, from any terminal.

It imports the pure engine and nothing of the site, so it installs without Django.
"""

from __future__ import annotations

import sys

from scoring.engine import resource_limits


def main() -> None:
    """Entry point of the console script."""
    try:
        resource_limits.prepare_start()
        from scoring.client.cli import run  # late, so that an interrupt meanwhile ends it as well

        raise SystemExit(run())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except resource_limits.LimitTooLow as error:
        print(f"flair: {error}", file=sys.stderr)
        raise SystemExit(2) from None
