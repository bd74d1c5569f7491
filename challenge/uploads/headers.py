"""What tus 1.0 says in headers, read strictly and answered in words.

Source: https://tus.io/protocols/resumable-upload (core, creation, expiration, checksum).
"""

from __future__ import annotations

import base64
import re

from django.http import HttpRequest

from challenge.errors import Refusal, refuse
from challenge.services.storage.parts import CHECKSUMS, Checksum

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CONTENT_TYPE = "application/offset+octet-stream"
METADATA_LENGTH_MAX = 4096
METADATA_KEYS_MAX = 20
INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)


def _invalid_header(header: str, found: str, allowed: str) -> Refusal:
    return refuse("upload-header-invalid", header=header, found=found[:80], allowed=allowed)


def check_version(request: HttpRequest) -> None:
    """Raise ``Refusal`` (412) unless the client speaks our version."""
    version = request.headers.get("Tus-Resumable", "")
    if version != VERSION:
        raise refuse("tus-version", found=version[:20], version=VERSION)


def integer(request: HttpRequest, name: str) -> int:
    """A header that must be there and hold a whole number of bytes."""
    value = request.headers.get(name, "")
    if not INTEGER.fullmatch(value):
        raise _invalid_header(name, value, "a whole number of bytes")
    return int(value)


def upload_length(request: HttpRequest) -> int:
    """The declared size. A deferred length is not supported: the size is the quota's business."""
    if "Upload-Defer-Length" in request.headers:
        raise _invalid_header("Upload-Defer-Length", "given", "Upload-Length with the file's size")
    if "Upload-Concat" in request.headers:
        raise _invalid_header(
            "Upload-Concat", "given", "one upload for one file, without this header"
        )
    return integer(request, "Upload-Length")


def body_length(request: HttpRequest) -> int:
    """How many bytes the body has. Raises ``Refusal`` (411) for chunked transfer encoding."""
    if "Transfer-Encoding" in request.headers:
        raise refuse("upload-length-required")
    value = request.headers.get("Content-Length", "") or "0"
    if not INTEGER.fullmatch(value):
        raise _invalid_header("Content-Length", value, "a whole number of bytes")
    return int(value)


def has_offset_body(request: HttpRequest) -> bool:
    """Whether the body is upload data, by its content type."""
    return request.content_type == CONTENT_TYPE


def check_content_type(request: HttpRequest) -> None:
    """Raise ``Refusal`` (415) unless the body is upload data."""
    if not has_offset_body(request):
        content_type = (request.content_type or "")[:80]
        raise refuse("upload-content-type", found=content_type, allowed=CONTENT_TYPE)


def metadata(request: HttpRequest) -> dict[str, str]:
    """Upload-Metadata as a dictionary.

    >>> from django.http import HttpRequest
    >>> request = HttpRequest()
    >>> request.META["HTTP_UPLOAD_METADATA"] = "filename cHJlZC56aXA=,is_final"
    >>> metadata(request)
    {'filename': 'pred.zip', 'is_final': ''}
    """
    header = request.headers.get("Upload-Metadata", "").strip()
    if len(header) > METADATA_LENGTH_MAX:
        raise refuse("upload-metadata-too-large", length=len(header), limit=METADATA_LENGTH_MAX)
    pairs: dict[str, str] = {}
    for item in header.split(",") if header else []:
        key, _space, value = item.strip().partition(" ")
        if not re.fullmatch(r"[!-+\--~]+", key) or key in pairs:
            raise _invalid_header(
                "Upload-Metadata", item, "unique ASCII keys, each with a base64 value"
            )
        try:
            text = base64.b64decode(value, validate=True).decode("utf-8")
        except ValueError as error:  # no base64, not even ASCII, or no UTF-8 inside
            raise _invalid_header(
                "Upload-Metadata", item, "base64 of UTF-8 text after the key"
            ) from error
        # NUL is text in UTF-8 and not in PostgreSQL.
        pairs[key] = text.replace("\0", "")
    if len(pairs) > METADATA_KEYS_MAX:
        raise _invalid_header(
            "Upload-Metadata", f"{len(pairs)} keys", f"at most {METADATA_KEYS_MAX}"
        )
    return pairs


def checksum(request: HttpRequest) -> Checksum | None:
    """Upload-Checksum, or None. Raises ``Refusal`` (400) for what we cannot verify."""
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    algorithm, _space, encoded = header.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise _invalid_header("Upload-Checksum", algorithm, ", ".join(CHECKSUMS))
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise _invalid_header(
            "Upload-Checksum", header, "the algorithm, a space, base64"
        ) from error
    return Checksum(algorithm, digest)
