#!/usr/bin/env python
"""Django's command line, with this checkout's embedded engines where none are named."""

from __future__ import annotations

import os
import sys

from challenge.config import engines

# These neither read nor write a database; starting servers for them would only cost a second.
WITHOUT_ENGINES = frozenset({"help", "makemessages", "compilemessages", "collectstatic", "version"})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in WITHOUT_ENGINES:
        engines.hold_if_unset()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
