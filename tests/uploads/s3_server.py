"""An S3 server process of its own (moto's), and what tests want to know of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.live_site import free_port

BUCKET = "archives"
START_S = 60.0
# boto3 asks for the date as naive UTC, which newer Pythons say is deprecated.
QUIET = "ignore:datetime.datetime.utcnow:DeprecationWarning"


@dataclass
class S3Server:
    """moto's server: everything it was given dies with its process."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        """What STORAGE_URL has to be."""
        return f"s3://a:b@{BUCKET}/site?endpoint={self.url}&region=us-east-1&addressing=path"

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
        """Empty the bucket, and give up what is unfinished."""
        for one in self.unfinished():
            self.client.abort_multipart_upload(
                Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"]
            )
        for name in self.objects():
            self.client.delete_object(Bucket=BUCKET, Key=name)

    def unfinished(self) -> list[dict[str, Any]]:
        """Multipart uploads without an end."""
        return list(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    def parts(self) -> list[int]:
        """The sizes of the parts that lie in unfinished multipart uploads."""
        sizes = []
        for one in self.unfinished():
            with suppress(ClientError):  # completed since it was listed
                found = self.client.list_parts(
                    Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"]
                )
                sizes += [part["Size"] for part in found.get("Parts", [])]
        return sizes

    def objects(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [one["Key"] for one in found]

    def read(self, name: str) -> bytes:
        """The bytes of an object, by its name in Django's storage."""
        found = self.client.get_object(Bucket=BUCKET, Key=f"site/{name}")
        return bytes(found["Body"].read())


@contextmanager
def running() -> Iterator[S3Server]:
    """A server for the length of a test session."""
    server = S3Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()
