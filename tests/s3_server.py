"""An S3 server in a process of its own (moto's), and the fixtures that start it once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from tests.live_site import free_port

BUCKET = "archives"
START_S = 120.0
# boto3 asks for the date as naive UTC, which newer Pythons say is deprecated.
QUIET = "ignore:datetime.datetime.utcnow:DeprecationWarning"


def storages_at(url: str) -> dict[str, Any]:
    """The setting STORAGES for a store at this address."""
    options = {
        "bucket_name": BUCKET,
        "location": "site",
        "endpoint_url": url,
        "access_key": "a",
        "secret_key": "b",
        "region_name": "us-east-1",
        "addressing_style": "path",
        "file_overwrite": False,
    }
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    return settings.STORAGES | {"default": backend}


@dataclass
class S3Server:
    """moto's server; what it stores is lost when its process ends."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        """What STORAGE_URL has to be."""
        return f"s3://a:b@{BUCKET}/site?endpoint={self.url}&region=us-east-1&addressing=path"

    @property
    def storages(self) -> dict[str, Any]:
        """What the setting STORAGES has to be."""
        return storages_at(self.url)

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            region_name="us-east-1",
        )

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.client.create_bucket(Bucket=BUCKET)
                return
            except BotoCoreError:
                assert self.process.poll() is None, "moto's server ended"
                assert time.monotonic() < deadline, "moto's server does not answer"
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def clear(self) -> None:
        """Empty the bucket, and abort incomplete multipart uploads."""
        for upload in self.incomplete():
            self.client.abort_multipart_upload(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        for name in self.objects():
            self.client.delete_object(Bucket=BUCKET, Key=name)

    def incomplete(self) -> list[dict[str, Any]]:
        """Multipart uploads that were neither completed nor aborted."""
        return list(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    def parts(self) -> list[int]:
        """The sizes of the parts in incomplete multipart uploads."""
        sizes = []
        for upload in self.incomplete():
            with suppress(ClientError):  # completed since it was listed
                answer = self.client.list_parts(
                    Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                sizes += [part["Size"] for part in answer.get("Parts", [])]
        return sizes

    def objects(self) -> list[str]:
        contents = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [entry["Key"] for entry in contents]

    def read(self, name: str) -> bytes:
        """The bytes of an object, by its name in Django's storage."""
        answer = self.client.get_object(Bucket=BUCKET, Key=f"site/{name}")
        return bytes(answer["Body"].read())


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """One server for all tests of a session."""
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_process: S3Server) -> S3Server:
    """The server with an empty bucket."""
    s3_process.clear()
    return s3_process
