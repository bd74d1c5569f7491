"""``python -m challenge.config.trial``: the earlier name of ``python -m challenge.demo.trial``."""

import sys

from challenge.demo.trial import main

if __name__ == "__main__":
    sys.exit(main())
