"""The score engine and what goes with it, and the version of the whole platform.

``__version__`` is the one place of the version: the site, the participants' command, the score
engine's command, the API's description, and the distribution (pyproject.toml) read it here.
``.dev0`` marks what comes after the last release in CHANGELOG.md.
"""

__version__ = "0.2.0.dev0"
