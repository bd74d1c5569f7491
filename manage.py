#!/usr/bin/env python
"""Django's command line for a checkout: the same as ``python -m challenge``."""

from __future__ import annotations

from challenge.__main__ import main

if __name__ == "__main__":
    main()
