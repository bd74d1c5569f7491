"""Django's command line: ``python -m challenge COMMAND`` (``manage.py`` in a checkout).

Starts this installation's embedded servers where no database or broker is configured.
"""

from __future__ import annotations

import os
import sys

from challenge import embedded

# These neither read nor write a database; starting servers for them would only cost a second.
WITHOUT_SERVERS = frozenset({"help", "makemessages", "compilemessages", "collectstatic", "version"})


def main() -> None:
    """Run the management command named by ``sys.argv``."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in WITHOUT_SERVERS:
        embedded.connect_if_unset()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
