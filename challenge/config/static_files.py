"""Static files under hashed names."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage

# Django's own patterns for imports (``support_js_module_import_aggregation``) match every script,
# also an example in a comment of a package's script, which names a file that is not there.
MODULE_IMPORT = r'(?m)^(?P<matched>import (?P<names>[^;"]+) from "(?P<url>\.[^"]+)";)$'
OWN_MODULES = ("js/*.js", ((MODULE_IMPORT, 'import %(names)s from "%(url)s";'),))


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # no types
    """WhiteNoise's storage, which also puts hashed names into the imports of our ES modules.

    Otherwise a browser would mix a module of this release with imported ones of an older release.
    """

    patterns = (*CompressedManifestStaticFilesStorage.patterns, OWN_MODULES)
    # one pass for each level of imports
    max_post_process_passes = 10
