"""Calls to an S3-compatible object store: objects and multipart uploads, in S3's own terms.

boto3 comes with the extra ``s3``, so it is imported only where ``STORAGE_URL`` names such a store.
Parts are verified by Content-MD5, which every such store knows; boto3's newer default checksums
are refused by some stores, for multipart uploads by Amazon's as well.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.core.files.storage import storages

READ_BYTES = 1 << 20
NO_OBJECT = frozenset({"NoSuchKey", "404"})
CLIENT_OPTIONS = {
    "connect_timeout": 5,
    "read_timeout": 60,
    "retries": {"mode": "standard", "max_attempts": 3},
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


class ObjectNotFound(Exception):
    """There is no such object in the store."""


class UploadNotFound(Exception):
    """The store does not have this multipart upload (any more)."""


class StoreUnavailable(Exception):
    """The store does not answer, or refuses the request; try again later."""


@dataclass(frozen=True)
class IncompleteUpload:
    """A multipart upload that was neither completed nor aborted."""

    name: str
    store_upload_id: str
    started_at: datetime


def configured_store() -> ObjectStore | None:
    """The object store in which Django's storage keeps archives; None where that is a folder."""
    backend = storages["default"]
    return _store_of(backend) if hasattr(backend, "bucket_name") else None


@lru_cache(maxsize=4)
def _store_of(backend: Any) -> ObjectStore:
    return ObjectStore(backend)  # shared by all threads: a client takes 0.25 s to create


class ObjectStore:
    """The bucket of a django-storages backend, by the names that Django's storage uses.

    Every method raises ``StoreUnavailable``; those that take ``store_upload_id`` (S3's UploadId)
    raise ``UploadNotFound``, ``read_object`` raises ``ObjectNotFound``.
    """

    def __init__(self, backend: Any) -> None:
        import boto3
        from botocore.config import Config

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
            config=backend.client_config.merge(Config(**CLIENT_OPTIONS)),
        )

    def create_multipart_upload(self, name: str) -> str:
        """Start a multipart upload and return the store's id of it."""
        parameters = dict(self._backend.get_object_parameters(name))
        parameters.setdefault("ContentType", "application/zip")
        if self._backend.default_acl:
            parameters.setdefault("ACL", self._backend.default_acl)
        with _translated_errors():
            answer = self._client.create_multipart_upload(**self._key(name), **parameters)
        return str(answer["UploadId"])

    def upload_part(self, name: str, store_upload_id: str, *, number: int, data: bytes) -> str:
        """Send part ``number`` (from 1; a second one replaces the first) and return its ETag."""
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        with _translated_errors():
            answer = self._client.upload_part(
                **self._key(name),
                UploadId=store_upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=base64.b64encode(digest).decode(),
            )
        return str(answer["ETag"])

    def complete_multipart_upload(
        self, name: str, store_upload_id: str, *, etags: Sequence[str]
    ) -> None:
        """Make one object of the parts 1, 2, 3 … with these ETags."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        with _translated_errors():
            self._client.complete_multipart_upload(
                **self._key(name), UploadId=store_upload_id, MultipartUpload={"Parts": parts}
            )

    def abort_multipart_upload(self, name: str, store_upload_id: str) -> None:
        """Abort a multipart upload; the store deletes its parts."""
        with _translated_errors():
            self._client.abort_multipart_upload(**self._key(name), UploadId=store_upload_id)

    def object_bytes(self, name: str) -> int | None:
        """The size of an object, None where there is none."""
        try:
            with _translated_errors():
                return int(self._client.head_object(**self._key(name))["ContentLength"])
        except ObjectNotFound:
            return None

    def read_object(self, name: str, *, first: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of an object, a mebibyte at a time.

        With ``end`` those from ``first`` up to it; nothing else is fetched.
        """
        # An empty object has no range.
        byte_range = {} if end is None else {"Range": f"bytes={first}-{end - 1}"}
        with _translated_errors():
            body = self._client.get_object(**self._key(name), **byte_range)["Body"]
            try:
                yield from body.iter_chunks(READ_BYTES)
            finally:
                body.close()

    def incomplete_uploads(self, name_prefix: str) -> Iterator[IncompleteUpload]:
        """Every multipart upload, neither completed nor aborted, whose name starts like this."""
        pages = self._client.get_paginator("list_multipart_uploads")
        prefix = f"{self._prefix}{name_prefix}"
        with _translated_errors():
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    name = str(upload["Key"]).removeprefix(self._prefix)
                    yield IncompleteUpload(name, str(upload["UploadId"]), upload["Initiated"])

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}


@contextmanager
def _translated_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchUpload":
            raise UploadNotFound(str(error)) from error
        if code in NO_OBJECT:
            raise ObjectNotFound(str(error)) from error
        raise StoreUnavailable(str(error)) from error
    except BotoCoreError as error:
        raise StoreUnavailable(str(error)) from error
