"""``python -m challenge.config.engines``: the earlier name of ``python -m challenge.embedded``."""

import sys

from challenge.embedded.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
