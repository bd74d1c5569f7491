"""The calls to an S3-compatible store that streaming into it needs.

Imported only where ``STORAGE_URL`` names such a store: boto3 comes with the extra ``s3``. Parts are
verified by Content-MD5, which every such store knows; boto3's newer checksums of its own accord
are refused by some, in multipart uploads by Amazon's as well.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from challenge.services.upload_shipping import Lost, Unreachable

READ_BYTES = 1 << 20
FORGOTTEN = frozenset({"NoSuchUpload", "NoSuchKey", "404"})
ROBUST = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "max_attempts": 3},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@dataclass(frozen=True)
class Unfinished:
    """A multipart upload that was begun and neither completed nor given up."""

    name: str
    session: str
    begun_at: datetime


class ObjectStore:
    """Multipart uploads into the bucket of a storage backend of django-storages.

    Names are those of Django's storage. Every method raises ``Unreachable``, and ``Lost`` where
    the multipart upload or the object is not there.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._bucket = backend.bucket_name
        self._prefix = f"{backend.location.strip('/')}/" if backend.location else ""
        session = boto3.Session(
            aws_access_key_id=backend.access_key,
            aws_secret_access_key=backend.secret_key,
            aws_session_token=backend.security_token,
        )
        self._client = session.client(
            "s3",
            region_name=backend.region_name,
            endpoint_url=backend.endpoint_url,
            use_ssl=backend.use_ssl,
            verify=backend.verify,
            config=backend.client_config.merge(ROBUST),
        )

    def begin(self, name: str) -> str:
        """Begin a multipart upload and return the store's id of it."""
        chosen = dict(self._backend.get_object_parameters(name))
        chosen.setdefault("ContentType", "application/zip")
        if self._backend.default_acl:
            chosen.setdefault("ACL", self._backend.default_acl)
        with _asking():
            found = self._client.create_multipart_upload(**self._place(name), **chosen)
        return str(found["UploadId"])

    def put(self, name: str, session: str, *, number: int, data: bytes) -> str:
        """Send part ``number`` (from 1; again: it replaces the first) and return its tag."""
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        with _asking():
            found = self._client.upload_part(
                **self._place(name),
                UploadId=session,
                PartNumber=number,
                Body=data,
                ContentMD5=base64.b64encode(digest).decode(),
            )
        return str(found["ETag"])

    def complete(self, name: str, session: str, *, tags: Sequence[str]) -> None:
        """Make one object of the parts 1, 2, 3 … with these tags."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
        with _asking():
            self._client.complete_multipart_upload(
                **self._place(name), UploadId=session, MultipartUpload={"Parts": parts}
            )

    def abort(self, name: str, session: str) -> None:
        """Give a multipart upload up; its parts are deleted."""
        with _asking():
            self._client.abort_multipart_upload(**self._place(name), UploadId=session)

    def size_bytes(self, name: str) -> int | None:
        """The size of an object, None where there is none."""
        try:
            with _asking():
                return int(self._client.head_object(**self._place(name))["ContentLength"])
        except Lost:
            return None

    def read(self, name: str, *, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of an object, a megabyte at a time.

        With ``end`` those from ``first`` up to it; nothing else is fetched.
        """
        # an empty object has no range
        asked = {} if end is None else {"Range": f"bytes={first}-{end - 1}"}
        with _asking():
            body = self._client.get_object(**self._place(name), **asked)["Body"]
            try:
                yield from body.iter_chunks(READ_BYTES)
            finally:
                body.close()

    def unfinished(self, start: str) -> Iterator[Unfinished]:
        """Every multipart upload begun and not ended whose name starts like this."""
        pages = self._client.get_paginator("list_multipart_uploads")
        with _asking():
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{start}"):
                for one in page.get("Uploads", ()):
                    name = str(one["Key"]).removeprefix(self._prefix)
                    yield Unfinished(name, str(one["UploadId"]), one["Initiated"])

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) in FORGOTTEN:
            raise Lost(str(error)) from error
        raise Unreachable(str(error)) from error
    except BotoCoreError as error:
        raise Unreachable(str(error)) from error
