"""The readers of the environment, one rule a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from challenge import env


def test_a_secret_comes_from_its_file_without_the_last_newline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    path.write_text("two words\n")
    monkeypatch.setenv("KEY_FILE", str(path))

    assert env.secret("KEY") == "two words"


def test_an_empty_secret_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text("\n")
    monkeypatch.setenv("KEY_FILE", str(path))

    with pytest.raises(env.BadSetting, match="is empty"):
        env.secret("KEY")


def test_an_unreadable_secret_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_FILE", "/nowhere/key")

    with pytest.raises(env.BadSetting, match="KEY_FILE: cannot read '/nowhere/key'"):
        env.secret("KEY")


def test_a_secret_without_default_must_be_set() -> None:
    with pytest.raises(env.BadSetting, match="set NEVER_SET or NEVER_SET_FILE"):
        env.secret("NEVER_SET")


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [("12", 12), ("5GB", 5_000_000_000), ("600MiB", 600 * 2**20), ("2 kB", 2000), ("", 7)],
)
def test_sizes_are_read_with_their_units(
    monkeypatch: pytest.MonkeyPatch, value: str, size_bytes: int
) -> None:
    monkeypatch.setenv("SIZE", value)

    assert env.size_bytes("SIZE", default=7) == size_bytes


@pytest.mark.parametrize("value", ["-1", "1.5GB", "GB", "5 parsecs", "5mb"])
def test_odd_sizes_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SIZE", value)

    with pytest.raises(env.BadSetting, match="SIZE: is"):
        env.size_bytes("SIZE", default=7)


@pytest.mark.parametrize(("value", "expected"), [("on", True), ("NO", False), ("", False)])
def test_flags(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("FLAG", value)

    assert env.flag("FLAG", default=not expected) is expected


def test_lists_take_commas_and_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIST", "a.example, b.example c.example")

    assert env.words("LIST") == ["a.example", "b.example", "c.example"]


def test_an_address_never_shows_its_password() -> None:
    found = env.take_apart("X", "smtp://me:hush@mail.example:25", schemes=("smtp",))

    assert found.password == "hush"
    assert "hush" not in repr(found)


def test_an_ill_formed_port_is_blamed_on_its_variable() -> None:
    with pytest.raises(env.BadSetting, match="X: is not a URL"):
        env.take_apart("X", "redis://host:many/0", schemes=("redis",))


def test_ports_are_numbers_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.ports("PORTS", default=(80,)) == [80]
    monkeypatch.setenv("PORTS", "443, 8443")
    assert env.ports("PORTS") == [443, 8443]
    for wrong in ("http", "0", "65536", "4٣", "-1", "9" * 30):
        monkeypatch.setenv("PORTS", wrong)
        with pytest.raises(env.BadSetting, match="1 to 65535"):
            env.ports("PORTS")
