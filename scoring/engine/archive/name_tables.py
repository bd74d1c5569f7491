"""What formats, methods and codecs are called, as JSON for the reader in the browser."""

from __future__ import annotations

from typing import TypedDict

from scoring.engine.archive import formats, tiff, zip_directory


class NameTables(TypedDict):
    """Names by number, in JSON by its decimal digits; a format is (offset, first bytes, name)."""

    formats: list[tuple[int, str, str]]
    methods: dict[int, str]
    codecs: dict[int, str]
    photometrics: dict[int, str]
    sample_formats: dict[int, str]


def export() -> NameTables:
    """All tables; the first bytes of a format as text with one character a byte (Latin-1)."""
    return {
        "formats": [(at, magic.decode("latin-1"), name) for at, magic, name in formats.FORMATS],
        "methods": zip_directory.METHODS,
        "codecs": tiff.CODEC_NAMES,
        "photometrics": tiff.PHOTOMETRIC_NAMES,
        "sample_formats": tiff.SAMPLE_FORMAT_NAMES,
    }
