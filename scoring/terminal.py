"""Output that fits every terminal: file names are anybody's, encodings are not all UTF-8."""

from __future__ import annotations

import io
import json
import sys


def prepare() -> None:
    """Let stdout and stderr write what their encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def to_json(value: object) -> str:
    """JSON for stdout, legible where its encoding can hold everything, else escaped by JSON."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("_", "-")
    return json.dumps(value, ensure_ascii=encoding not in ("utf-8", "utf8"))
