"""The public files of both challenges: listed, checked, and unzipped into the folder alone."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from baselines import cli, public_files
from baselines.public_files import PublicFile, PublicFileError

CHALLENGE = """
[[downloads]]
file = "images.zip"
size = "{size}"
url = "https://example.org/images.zip"

[[downloads]]
file = "shapes.gpkg"
size = "392 kB"
"""


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """A challenge of one zip that is here, with the size of its bytes, and a file that is not."""
    (tmp_path / "copies").mkdir()
    _zip(tmp_path, {"D004_2021/Z1_NN/img/IMG_000001.tif": b"pixels", "about/": b""})
    return tmp_path / "challenge.toml"


def _zip(folder: Path, members: dict[str, bytes], *, link: str = "") -> None:
    copy = folder / "copies" / "images.zip"
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link:
            about = zipfile.ZipInfo(link)
            about.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(about, "/etc")
    text = CHALLENGE.format(size=f"{copy.stat().st_size} B")
    (folder / "challenge.toml").write_text(text)


@pytest.mark.parametrize("name", ["flair-1", "flair-2"])
def test_the_files_of_both_challenges_are_listed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["files", name]) == 0
    listed = {row["file"]: row for row in json.loads(capsys.readouterr().out)["files"]}
    assert listed["flair_aerial_train.zip"]["size"] == "50.7 GB"
    assert all(row["url"].startswith("https://") for row in listed.values())


@pytest.mark.parametrize(
    ("size", "fits"),
    [(50_700_000_000, True), (50_749_000_000, True), (50_760_000_000, False),
     (round(50.7 * 1024**3), True), (50_700_000, False), (0, False)],
)  # fmt: skip
def test_a_size_fits_the_rounded_one(size: int, fits: bool) -> None:
    assert PublicFile("a.zip", "50.7 GB", "").fits(size) == fits


def test_copies_are_checked_and_unzipped(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies, out = tmp_path / "copies", tmp_path / "out"
    digest = hashlib.sha256((copies / "images.zip").read_bytes()).hexdigest()
    (tmp_path / "sums").write_text(f"{digest}  ./images.zip\n")
    command = ["files", str(challenge), "--folder", str(copies), "--unzip", str(out),
               "--digests", str(tmp_path / "sums")]  # fmt: skip
    assert cli.main(command) == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in said["files"]] == ["ok", "missing"]
    image = out / "D004_2021" / "Z1_NN" / "img" / "IMG_000001.tif"
    assert image.read_bytes() == b"pixels"
    assert said["unzipped"] == 1
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out)["unzipped"] == 0, "what is there stays"
    (tmp_path / "sums").write_text(f"{'0' * 64}  images.zip\n")
    assert cli.main(command) == 1
    assert f"images.zip has SHA-256 {digest} where 000" in capsys.readouterr().err
    (tmp_path / "sums").write_text("abc images.zip\n")
    assert cli.main(command) == 1
    assert "line 1: found 'abc images.zip'" in capsys.readouterr().err


def test_a_copy_cut_short_is_not_unzipped(challenge: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "images.zip"
    size = copy.stat().st_size
    copy.write_bytes(copy.read_bytes()[:-9])
    with pytest.raises(PublicFileError, match=rf"has {size - 9} bytes where {size} B are listed"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=tmp_path / "out")
    copy.write_bytes(b"x" * size)
    with pytest.raises(PublicFileError, match=r"images\.zip is no whole zip\. Fetch"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["../out.tif", "/etc/out.tif", "a/../../b", "a\\..\\b", "C:/b", "a//b", "./a"]
)
def test_a_name_that_leads_out_is_refused(name: str, challenge: Path, tmp_path: Path) -> None:
    _zip(tmp_path, {"good.tif": b"1", name: b"2"})
    with pytest.raises(PublicFileError, match="leads out of the folder; nothing was unzipped"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_refused_in_the_zip_and_on_the_way(challenge: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _zip(tmp_path, {"good.tif": b"1"}, link="etc")
    with pytest.raises(PublicFileError, match="'etc' is a link or a device"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=out)
    _zip(tmp_path, {"folder/a.tif": b"1"})
    out.mkdir()
    (out / "folder").symlink_to(tmp_path)
    with pytest.raises(PublicFileError, match="is a link; nothing was unzipped"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=out)
    assert not (tmp_path / "a.tif").exists()


def test_a_damaged_member_and_a_full_disk_are_told(challenge: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "images.zip"
    whole = copy.read_bytes()
    copy.write_bytes(whole.replace(b"pixels", b"pixelz", 1))
    with pytest.raises(PublicFileError, match="is damaged"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))
    # The table of contents tells of four gigabytes less one byte, in each of 30,000 members.
    with zipfile.ZipFile(copy, "w") as archive:
        for number in range(1, 30_001):
            archive.writestr(f"{number}.tif", b"")
    content = bytearray(copy.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFFE)
        at = content.find(b"PK\x01\x02", at + 46)
    copy.write_bytes(content)
    challenge.write_text(CHALLENGE.format(size=f"{len(content)} B"))
    with pytest.raises(PublicFileError, match=r"128849\.0 GB are to be unzipped and .* are free"):
        public_files.run(str(challenge), folder=tmp_path / "copies", out_dir=tmp_path / "out")


def test_an_unknown_challenge_is_told_the_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["files", "flair-9"]) == 1
    assert "challenge 'flair-9'; allowed are flair-1, flair-2" in capsys.readouterr().err
