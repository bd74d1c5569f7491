"""``python -m scoring.client`` is ``flair``."""

from scoring.client import main

main()
