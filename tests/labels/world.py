"""The small challenge of tests.splits, with a labels worker, its keys, and an owner who seals."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from challenge.models import LabelJob, Phase, Upload, User
from challenge.services.labels import keys, label_jobs
from challenge.services.labels import uploads as label_uploads
from challenge.services.storage import uploads
from scoring.engine.truth import sealed, sealing_keys
from scoring.engine.truth.sealed import Context, Kind
from tests.factories import make_organiser
from tests.splits.world import PATCHES, SIDE_PX, SplitWorld, mask, tiff

CANARY = b"canary-of-hidden-labels-6b1f"


def masks_zip(changes: dict[str, bytes | None] | None = None) -> bytes:
    """All masks in a stored zip, the first file ignored: a canary that nothing may repeat."""
    files: dict[str, bytes | None] = {
        "__MACOSX/canary": CANARY,
        **{f"MSK_{patch}.tif": tiff(mask(patch)) for patch in PATCHES},
        **(changes or {}),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            if data is not None:
                archive.writestr(name, data)
    return packed.getvalue()


def sealed_masks(
    content: bytes,
    *,
    uploader: str,
    phase: str = "test",
    challenge: str = "tiny",
    public: bytes | None = None,
) -> bytes:
    """A zip as the page seals it, for the labels worker of this test."""
    target = io.BytesIO()
    sealed.seal(
        io.BytesIO(content),
        target,
        size_bytes=len(content),
        kind=Kind.MASKS,
        context=Context(challenge, phase, uploader),
        recipients=[public or sealing_keys.public_bytes(keys.labels_key())],
    )
    return target.getvalue()


def upload(user: User, phase: Phase, content: bytes) -> Upload:
    """The bytes, arrived in full."""
    row = label_uploads.create(
        user=user, phase=phase, length_bytes=len(content), original_name="masks.zip", metadata={}
    )
    uploads.receive(
        upload=row, stream=io.BytesIO(content), offset_bytes=0, length_bytes=len(content)
    )
    return row


class LabelsWorld(SplitWorld):
    """SplitWorld with an owner."""

    def __init__(self, world: SplitWorld) -> None:
        super().__init__(world.folder, world.masks)
        self.owner = make_organiser(self.phase.challenge)

    def send(self, content: bytes, *, user: User | None = None) -> LabelJob:
        """Upload bytes as they are and queue their installation."""
        user = user or self.owner
        row = upload(user, self.phase, content)
        return label_jobs.create(phase=self.phase, upload_id=row.pk, actor=user)

    def send_masks(self, changes: dict[str, bytes | None] | None = None) -> LabelJob:
        """Seal the masks and send them."""
        return self.send(sealed_masks(masks_zip(changes), uploader=self.owner.username))

    @property
    def key_file(self) -> Path:
        return self.folder / "labels-key" / keys.LABELS_FILE


def other_mask() -> bytes:
    """A mask with a value that is no label, 219."""
    pixels = np.ones((SIDE_PX, SIDE_PX), dtype=np.uint8)
    pixels[0, :5] = 219
    return tiff(pixels)
