"""Sealed files: known answers, and everything that is done to them on the way is found."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scoring import cli
from scoring.cli.cli import main
from scoring.engine.truth import sealed, sealing_keys
from scoring.engine.truth.sealed import SEGMENT_BYTES, TAG_BYTES, Context, Kind
from scoring.engine.truth.sealing_keys import SealError
from tests.scoring.truth import sealed_vectors
from tests.scoring.truth.sealed_vectors import content, key

CONTEXT = Context("flair-1", "test", "ana")
SIZE = 2 * SEGMENT_BYTES + 100
WHOLE = sealed_vectors.sealed_bytes(SIZE, context=CONTEXT, numbers=[1, 2])
HEAD = sealed.read_header(io.BytesIO(WHOLE)).length_bytes
SEGMENT = SEGMENT_BYTES + TAG_BYTES


def opened(
    data: bytes,
    *,
    number: int = 1,
    context: Context = CONTEXT,
    kind: Kind = Kind.MASKS,
) -> bytes:
    target = io.BytesIO()
    sealed.unseal(
        io.BytesIO(data),
        target,
        sealed_bytes=len(data),
        kind=kind,
        context=context,
        key=key(number),
    )
    return target.getvalue()


def test_the_known_answers_are_kept() -> None:
    assert json.loads(sealed_vectors.FILE.read_text(encoding="utf-8")) == sealed_vectors.make()


def test_each_recipient_opens_what_was_sealed() -> None:
    assert opened(WHOLE, number=1) == opened(WHOLE, number=2) == content(SIZE)


def test_nothing_of_the_content_is_in_a_sealed_file_and_no_two_are_alike() -> None:
    plain = b"canary " * 1000
    both = []
    for _ in range(2):
        target = io.BytesIO()
        sealed.seal(
            io.BytesIO(plain),
            target,
            size_bytes=len(plain),
            kind=Kind.MASKS,
            context=CONTEXT,
            recipients=[sealing_keys.public_bytes(key(1))],
        )
        both.append(target.getvalue())
    assert b"canary" not in both[0]
    assert both[0][HEAD:] != both[1][HEAD:]
    assert opened(both[0]) == opened(both[1]) == plain


def _segment(number: int) -> slice:
    return slice(HEAD + number * SEGMENT, HEAD + (number + 1) * SEGMENT)


def _flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _swap(data: bytes) -> bytes:
    return data[:HEAD] + data[_segment(1)] + data[_segment(0)] + data[_segment(2)]


def _repeat(data: bytes) -> bytes:
    return data[:HEAD] + data[_segment(0)] + data[_segment(0)] + data[_segment(2)]


def _end_early(data: bytes) -> bytes:
    """Without the last segment, and a head that announces as much: its digest is another."""
    fixed = data[:12] + (2 * SEGMENT_BYTES).to_bytes(8, "big") + data[20:HEAD]
    return fixed + data[_segment(0)] + data[_segment(1)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_flip(HEAD + 5), "segment 1 of 3 was changed"),
        (_flip(HEAD + SEGMENT + 5), "segment 2 of 3 was changed"),
        (_flip(len(WHOLE) - 1), "segment 3 of 3 was changed"),
        (_swap, "segment 1 of 3 was changed"),
        (_repeat, "segment 2 of 3 was changed"),
        (lambda data: data[:-1], "its head announces"),
        (lambda data: data[: HEAD + SEGMENT], "its head announces"),
        (lambda data: data + b"\0", "its head announces"),
        (lambda data: data[:100], "is cut off"),
        (_end_early, "its head was changed"),
        (_flip(20), "its head was changed"),  # the prefix of nonces
        (_flip(92 - 3), "its head was changed"),  # the ephemeral key: no point any more, or another
        (_flip(HEAD - 100), "was changed"),  # the first recipient's wrapped key
        (_flip(HEAD - 3), "segment 1 of 3 was changed"),  # the other recipient's
        (_flip(8), "sealed for something else"),  # the kind
        (_flip(0), "is not a sealed file"),
        (lambda data: data[:9] + b"\xff" + data[10:], "its head is damaged"),
        (lambda data: b"PK\x03\x04" + data, "is not a sealed file"),
    ],
)  # fmt: skip
def test_a_changed_file_is_refused(change: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(SealError, match=words):
        opened(change(WHOLE))


@pytest.mark.parametrize(
    "context",
    [
        Context("flair-2", "test", "ana"),
        Context("flair-1", "final", "ana"),
        Context("flair-1", "test", "bob"),
    ],
)
def test_a_file_opens_for_its_own_challenge_phase_and_uploader_alone(context: Context) -> None:
    with pytest.raises(SealError, match="sealed for something else"):
        opened(WHOLE, context=context)
    with pytest.raises(SealError, match="sealed for something else"):
        opened(WHOLE, kind=Kind.LABEL_FILE)


def test_another_key_is_named_and_opens_nothing() -> None:
    with pytest.raises(SealError, match="sealed for other keys"):
        opened(WHOLE, number=3)


def test_a_recipient_written_over_by_ones_own_key_opens_nothing() -> None:
    mine = bytes.fromhex(sealing_keys.fingerprint(sealing_keys.public_bytes(key(3))))
    with pytest.raises(SealError, match="head was changed"):
        opened(WHOLE[: HEAD - 160] + mine + WHOLE[HEAD - 128 :], number=3)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "labels.pem"
    made = sealing_keys.load_or_create_key(path)
    again = sealing_keys.load_or_create_key(path)
    assert sealing_keys.public_bytes(made) == sealing_keys.public_bytes(again)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["labels.pem"]
    path.chmod(0o640)
    with pytest.raises(SealError, match="chmod 600"):
        sealing_keys.load_key(path)


def test_a_public_key_has_to_have_the_fingerprint_that_was_told() -> None:
    public = sealing_keys.public_bytes(key(1))
    text, told = sealing_keys.public_text(public), sealing_keys.fingerprint(public)
    shown = sealing_keys.shown_fingerprint(told).upper()
    assert sealing_keys.read_public(text, fingerprint_wanted=shown) == public
    with pytest.raises(SealError, match="wanted is"):
        sealing_keys.read_public(text, fingerprint_wanted="00" * 32)
    with pytest.raises(SealError, match="public key that is none"):
        sealing_keys.read_public(text[:-8] + "AAAAAAA=")


def test_masks_are_sealed_and_recovered_offline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "masks.zip"
    with zipfile.ZipFile(masks, "w") as archive:
        archive.writestr("MSK_1.tif", b"a mask")
    recovery = tmp_path / "recovery.pem"
    assert main(["recovery-key", "--out", str(recovery)]) == cli.commands.DONE
    own = capsys.readouterr().out.splitlines()[0].removeprefix("public key: ")
    worker = sealing_keys.public_bytes(key(1))
    purpose = ["--challenge", "flair-1", "--phase", "test", "--uploader", "ana"]
    arguments = [
        "seal", "--masks", str(masks), "--key", sealing_keys.public_text(worker),
        "--recovery-key", own, *purpose, "--out", str(tmp_path / "masks.sealed"),
    ]  # fmt: skip
    told = ["--fingerprint", sealing_keys.fingerprint(worker)]
    assert main([*arguments, "--fingerprint", "12" * 32]) == 2
    assert not (tmp_path / "masks.sealed").exists()
    assert main([*arguments, *told]) == 0
    sealed_file = (tmp_path / "masks.sealed").read_bytes()
    assert opened(sealed_file) == masks.read_bytes()
    back = [
        "unseal", "--sealed", str(tmp_path / "masks.sealed"), "--key-file", str(recovery),
        *purpose, "--out", str(tmp_path / "back.zip"),
    ]  # fmt: skip
    assert main(back) == 0
    assert (tmp_path / "back.zip").read_bytes() == masks.read_bytes()
    assert main(["seal", "--masks", str(recovery), *arguments[3:], *told]) == 2
    assert "is no zip" in capsys.readouterr().err
