"""Pre-trained weights of encoders: where their file is, and what it holds.

A file is given by its path, or looked for by name: first in a folder of copies, for machines
without a way out, then at the Hugging Face hub, whose own cache keeps it. What cannot be had is an
error. A start at random is asked for by the name "random".
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER_VARIABLE = "FLAIR_WEIGHTS_FOLDER"
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_HUB_FILE = "model.safetensors"


class WeightsMissing(ValueError):
    """Weights cannot be had; the message says where they were looked for and what to do."""


@dataclass(frozen=True)
class HubFile:
    """A file of weights at the Hugging Face hub."""

    repository: str
    revision: str | None = None
    name: str = _HUB_FILE


@dataclass(frozen=True)
class Loaded:
    """Weights read from a file: what they are called, where they came from, their tensors."""

    encoder: str
    name: str
    file: str
    sha256: str
    tensors: dict[str, Tensor]

    def to_json(self) -> dict[str, str]:
        """Give what a run writes down of them."""
        return {
            "encoder": self.encoder, "name": self.name, "file": self.file, "sha256": self.sha256,
        }  # fmt: skip


def folder_from_environment() -> Path | None:
    """Give the folder of copies that the environment names, None where it names none."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


def is_file_name(weights: str) -> bool:
    """Tell whether the value of `encoder_weights` is a path and no name."""
    return weights.endswith(_SUFFIXES) or "/" in weights


def load(encoder: str, *, name: str, hub: HubFile | None, folder: Path | None) -> Loaded:
    """Find and read the weights `name` (a path, or a name whose file `hub` tells) of an encoder.

    `folder` holds copies, as `<encoder>.<name>.safetensors`, `<repository's last part>.safetensors`
    or in the hub's own layout `<repository>/model.safetensors`.
    Raises WeightsMissing, or ValueError for a file that holds no weights.
    """
    path = Path(name).expanduser() if is_file_name(name) else None
    if path is not None and not path.is_file():
        raise WeightsMissing(f"weights of encoder {encoder}: there is no file {path}. {_way_out()}")
    if path is None:
        assert hub is not None
        path = _copy_in(folder, encoder=encoder, name=name, hub=hub)
    if path is None:
        assert hub is not None
        path = _fetched(hub, encoder=encoder, name=name, folder=folder)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Loaded(encoder, name, str(path), digest, _read(path))


def _copy_in(folder: Path | None, *, encoder: str, name: str, hub: HubFile) -> Path | None:
    """Give the first copy in the folder, None where there is none."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise WeightsMissing(f"there is no folder {folder} of weights; make it, or name another")
    for candidate in _candidates(encoder=encoder, name=name, hub=hub):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _candidates(*, encoder: str, name: str, hub: HubFile) -> tuple[str, ...]:
    last = hub.repository.rpartition("/")[2]
    return (
        f"{encoder}.{name}.safetensors", f"{last}.safetensors", f"{hub.repository}/{hub.name}",
    )  # fmt: skip


def _fetched(hub: HubFile, *, encoder: str, name: str, folder: Path | None) -> Path:
    """Download the file, or take it from the hub's cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(hub.repository, filename=hub.name, revision=hub.revision))
    except (OSError, ValueError, HfHubHTTPError) as wrong:
        names = ", ".join(_candidates(encoder=encoder, name=name, hub=hub))
        copies = (
            f"the folder {folder} holds none of {names}; "
            if folder
            else "no folder of copies is given; "
        )
        reason = str(wrong).strip().partition("\n")[0]
        raise WeightsMissing(
            f"weights {name!r} of encoder {encoder}: {copies}{hub.repository} could not be fetched "
            f"({type(wrong).__name__}: {reason}). {_way_out()}"
        ) from wrong


def _way_out() -> str:
    return (
        "Give a file (--set network.options.encoder_weights=FILE), a folder of copies "
        f"(--weights-folder or {FOLDER_VARIABLE}), or ask for a start at random (--random-weights)"
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors, never code. Raises ValueError where it holds none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as wrong:
        raise ValueError(f"{path} holds no weights: {wrong}") from wrong
    except OSError:
        raise
    except Exception as wrong:  # torch's readers raise all kinds, by what they stumble over
        raise ValueError(f"{path} holds no weights: {wrong}") from wrong
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not any(isinstance(v, Tensor) for v in found.values()):
        raise ValueError(f"{path} holds no weights: no table of tensors")
    return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
