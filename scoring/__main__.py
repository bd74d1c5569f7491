"""``python -m scoring``."""

import sys

from scoring.engine import resource_limits


def main() -> int:
    """Run the command, or say which limit of the shell makes that impossible; the exit status."""
    try:
        resource_limits.prepare_start()
    except resource_limits.LimitTooLow as error:
        print(f"scoring: {error}", file=sys.stderr)
        return 2
    from scoring.cli.cli import main as run  # late: it imports numpy

    return run()


if __name__ == "__main__":
    sys.exit(main())
