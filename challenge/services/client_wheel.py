"""The participants' command as a wheel for pip, made by each site for its own version.

The wheel holds the package ``scoring`` as it runs here, with the shipped challenges as its data, so
that a participant checks with the very code that the server checks with. It is made in memory on
first use (decision 421); the same code gives the same bytes in every process.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
import io
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import scoring
from challenge.services import links
from scoring.engine.task.specification import SHIPPED

DISTRIBUTION = "flair-challenge-platform"  # whose version and dependencies these are
EXTRA = "client"
NAME = "flair_client"
PACKAGE = Path(scoring.__file__).resolve().parent
DATA_SUFFIXES = (".toml", ".csv")
MODULE_SUFFIXES = (".py", ".ll", ".typed")
# The first moment that a zip can name: the same code is the same file.
MOMENT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ClientWheel:
    """``file_name`` tells pip the version; it ends with a digest of the files, so that changed code
    is another version. ``sha256`` is that of ``content``, in hexadecimal.
    """

    file_name: str
    content: bytes
    sha256: str


@functools.cache
def build() -> ClientWheel:
    """Return the wheel of this process's code. Some 300 kB, made once in each process."""
    version, requirements = _project()
    files = dict(_files())
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = f"{version}+{digest.hexdigest()[:8]}"
    info = f"{NAME}-{version}.dist-info"
    files |= {
        f"{info}/METADATA": _metadata(version, requirements).encode(),
        f"{info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: flair\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{info}/entry_points.txt": b"[console_scripts]\nflair = scoring.client:main\n",
    }
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_record_digest(content)},{len(content)}\n" for name, content in
             files.items()]  # fmt: skip
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, MOMENT)
            member.external_attr = 0o644 << 16
            wheel.writestr(member, content, compress_type=zipfile.ZIP_DEFLATED)
    content = target.getvalue()
    return ClientWheel(
        file_name=f"{NAME}-{version}-py3-none-any.whl",
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def install_command() -> str:
    """Return the line that installs the command from this site."""
    return f'pip install "{links.absolute("/client/" + build().file_name)}"'


def login_command() -> str:
    """Return the line that keeps a token for this site; it asks for the token."""
    return f"flair login --server {links.absolute('/').rstrip('/')}"


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield the path in the wheel and the content of each file, in the order of their paths."""
    found = {
        f"scoring/{path.relative_to(PACKAGE).as_posix()}": path
        for path in PACKAGE.rglob("*")
        if path.suffix in MODULE_SUFFIXES
    }
    found |= {
        f"scoring/challenges/{path.relative_to(SHIPPED).as_posix()}": path
        for path in SHIPPED.glob("*/*")
        if path.suffix in DATA_SUFFIXES
    }
    for name in sorted(found):
        yield name, found[name].read_bytes()


def _project() -> tuple[str, list[str]]:
    """Return the version and what the command needs: of a checkout's file, else as installed."""
    path = PACKAGE.parent / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        if project["name"] == DISTRIBUTION:
            needed = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
            return scoring.__version__, needed
    installed = importlib.metadata.distribution(DISTRIBUTION)
    requirements = []
    for line in installed.requires or []:
        requirement, _semicolon, marker = line.partition(";")
        if marker.replace("'", '"').strip() in ("", f'extra == "{EXTRA}"'):
            requirements.append(requirement.strip())
    return scoring.__version__, requirements


def _metadata(version: str, requirements: list[str]) -> str:
    head = [
        "Metadata-Version: 2.4",
        f"Name: {NAME.replace('_', '-')}",
        f"Version: {version}",
        "Summary: The command flair: check, pack and submit predictions of a challenge.",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
    ]
    return "\n".join([*head, *(f"Requires-Dist: {line}" for line in requirements)]) + "\n"


def _record_digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
