"""Decodes images of patches in a process of its own that can open no file and no socket.

A kit's images come from whoever organises a challenge and have any number of bands and any type of
sample. `decode` starts ``python -m scoring.engine.pictures.images``, gives it the TIFFs on stdin
and reads raw pixels, of which it knows the number; the caller's own process parses nothing.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from scoring.engine.decode import sandbox
from scoring.engine.scorer import child

MAX_BANDS = 5  # of one image; further ones are not read
MAX_BLOCK_PX = 4096 * 4096
MAX_COUNT = 64  # bands that a file may have
MAX_SIDE_PX = 512  # of a picture: of a larger image every n-th row and column is taken
STRETCHED = (2.0, 98.0)  # percentiles that become 0 and 255 where samples are no bytes
_SIZE = struct.Struct(">I")
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImagesFailed(Exception):
    """The process ended without the pixels that were asked for."""


def step_of(shape: tuple[int, int]) -> int:
    """Return the step between the rows and columns of an image that its picture has.

    >>> step_of((512, 512)), step_of((513, 100))
    (1, 2)
    """
    return -(-max(shape) // MAX_SIDE_PX)


def decode(
    images: Sequence[bytes], *, shape: tuple[int, int], timeout_s: float, isolate: bool = True
) -> list[NDArray[np.uint8] | None]:
    """Return each image as uint8[bands, h, w], None where it is not of ``shape`` or damaged.

    h and w are ``shape`` (rows, columns) divided by `step_of`. Samples that are bytes stay as they
    are, others are stretched band by band. Raises `ImagesFailed` when the process ends early, takes
    more than ``timeout_s`` or answers anything else.
    """
    step = step_of(shape)
    height, width = -(-shape[0] // step), -(-shape[1] // step)
    most = len(images) * (1 + MAX_BANDS * height * width)
    with tempfile.TemporaryFile() as stdin:
        job = json.dumps({"shape": shape, "isolate": isolate}).encode()
        for part in (job, *images):
            stdin.write(_SIZE.pack(len(part)))
            stdin.write(part)
        stdin.seek(0)
        answer = _run(stdin, most=most, timeout_s=timeout_s)
    found: list[NDArray[np.uint8] | None] = []
    at = 0
    for _image in images:
        bands = answer[at] if at < len(answer) else MAX_BANDS + 1
        size = bands * height * width
        if bands > MAX_BANDS or at + 1 + size > len(answer):
            raise ImagesFailed("the answer has another length than it says")
        pixels = np.frombuffer(answer, dtype=np.uint8, count=size, offset=at + 1)
        found.append(pixels.reshape(bands, height, width) if bands else None)
        at += 1 + size
    return found


def _run(stdin: IO[bytes], *, most: int, timeout_s: float) -> bytes:
    with subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "scoring.engine.pictures.images"],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child.environment(),
        cwd=tempfile.gettempdir(),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        try:
            answer = process.stdout.read(most + 1)
        finally:
            timer.cancel()
            if len(answer) > most:
                process.kill()
    if process.returncode != 0:
        raise ImagesFailed(f"exit status {process.returncode}")
    return answer


def _serve() -> None:
    """The process: read everything, warm up, lock down, then decode one image after the other."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if sys.platform.startswith("linux"):
        sandbox.die_with_parent(int(os.environ["SCORER_PARENT"]))
    job = json.loads(_read_part(sys.stdin.buffer) or b"{}")
    shape = (int(job["shape"][0]), int(job["shape"][1]))
    _warm_up()
    if job["isolate"]:
        sandbox.lock_down()
    while (data := _read_part(sys.stdin.buffer)) is not None:
        try:
            pixels = _decode_one(data, shape=shape)
        except Exception:  # noqa: BLE001 (whatever is wrong with an image, the others are decoded)
            pixels = None
        out.write(bytes([0 if pixels is None else len(pixels)]))
        if pixels is not None:
            out.write(pixels.tobytes())
    out.flush()


def _read_part(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_SIZE.size)
    return stream.read(_SIZE.unpack(head)[0]) if len(head) == _SIZE.size else None


def _warm_up() -> None:
    """Import and run what decoding needs: nothing can be loaded after the lock-down."""
    from rasterio.io import MemoryFile

    sample = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
    for compress in ("deflate", "lzw", "zstd", "packbits"):
        with warnings.catch_warnings(action="ignore"), MemoryFile() as memory:
            with memory.open(
                driver="GTiff", height=8, width=8, count=3, dtype="uint16", compress=compress
            ) as raster:
                raster.write(sample)
            data = bytes(memory.read())
        if _decode_one(data, shape=(8, 8)) is None:
            raise RuntimeError("the sample cannot be decoded")


def _decode_one(data: bytes, *, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Return uint8[bands, h, w] of a TIFF, None where it is none of ``shape``."""
    from rasterio.io import MemoryFile

    if not data.startswith(_MAGIC):
        return None
    step = step_of(shape)
    with (
        warnings.catch_warnings(action="ignore"),  # "not georeferenced"
        MemoryFile(data) as memory,
        memory.open(driver="GTiff", sharing=False, OVERVIEW_LEVEL="NONE") as raster,
    ):
        if raster.shape != shape or not 1 <= raster.count <= MAX_COUNT:
            return None
        if any(rows * columns > MAX_BLOCK_PX for rows, columns in raster.block_shapes):
            return None
        count = min(raster.count, MAX_BANDS)
        bands = [raster.read(band + 1)[::step, ::step] for band in range(count)]
    return np.stack([_as_bytes(band) for band in bands])


def _as_bytes(band: NDArray[np.generic]) -> NDArray[np.uint8]:
    if band.dtype == np.uint8:
        return band.astype(np.uint8)
    values = np.nan_to_num(band.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, STRETCHED)
    scaled = (values - low) / max(high - low, 1e-12) * 255
    stretched: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return stretched


if __name__ == "__main__":
    _serve()
