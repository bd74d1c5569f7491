"""What the command does without a server: packing, credentials, words, exit codes."""

from __future__ import annotations

import ast
import json
import stat
import string
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from scoring.client import cli, commands, credentials, packing, texts, tus
from scoring.client.credentials import Account
from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output
from scoring.engine.task.examples import abc_spec

CLIENT = Path(cli.__file__).parent


def run(*argv: str) -> int:
    return cli.run([*argv, "--server", "http://127.0.0.1:9"])


def make_folder(folder: Path) -> Path:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "PRED_002.tif").write_bytes(b"two")
    (folder / "a" / "b" / "PRED_001.TIF").write_bytes(b"one")
    (folder / "readme.txt").write_text("no prediction")
    return folder


def test_packing_gives_usual_names_in_order(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in")
    packed = packing.pack(folder, out=tmp_path / "out.zip", spec=abc_spec())
    assert (packed.count, packed.ignored) == (2, ("readme.txt",))
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.namelist() == ["PRED_001.tif", "PRED_002.tif"]
        assert archive.read("PRED_001.tif") == b"one"


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = packing.pack(make_folder(tmp_path / "1"), out=tmp_path / "1.zip", spec=abc_spec())
    other = make_folder(tmp_path / "2")
    (other / "a" / "PRED_002.tif").touch()
    (other / "a" / "PRED_002.tif").chmod(0o600)
    second = packing.pack(other, out=tmp_path / "2.zip", spec=abc_spec())
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_packing_refuses_a_patch_that_is_there_twice(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in")
    (folder / "PRED_001.tiff").write_bytes(b"again")
    with pytest.raises(CommandError, match="pack-twice"):
        packing.pack(folder, out=tmp_path / "out.zip", spec=abc_spec())
    assert not list(tmp_path.glob("*.zip"))


def test_packing_overwrites_nothing_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    out.write_bytes(b"precious")
    folder = make_folder(tmp_path / "in")
    with pytest.raises(CommandError, match="file-exists"):
        packing.pack(folder, out=out, spec=abc_spec())
    assert out.read_bytes() == b"precious"
    assert packing.pack(folder, out=out, spec=abc_spec(), force=True).count == 2


def test_the_token_is_readable_by_its_owner_alone() -> None:
    path = credentials.remember(Account("https://flair.example", "flair_a_b"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials.find(server=None) == Account("https://flair.example", "flair_a_b")
    credentials.forget("https://flair.example")
    assert credentials.find(server=None).token is None


def test_a_token_goes_to_its_own_server_alone() -> None:
    credentials.remember(Account("https://flair.example", "flair_a_b"))
    assert credentials.find(server="https://other.example").token is None


@pytest.mark.parametrize("given", ["https://flair.example/", "https://flair.example/api/v1/"])
def test_addresses_are_cleaned(given: str) -> None:
    assert credentials.clean_server(given) == "https://flair.example"


@pytest.mark.parametrize("given", ["flair.example", "ftp://flair.example", ""])
def test_an_address_without_scheme_is_refused(given: str) -> None:
    with pytest.raises(CommandError, match="server-url-invalid"):
        credentials.clean_server(given)


def test_exit_codes_say_what_went_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(b"x")
    submit = ("submit", str(file), "--phase", "abc/test", "--method", "m")
    assert run(*submit) == Exit.NOT_LOGGED_IN
    assert run("check", str(file), "--phase", "nonsense") == Exit.USAGE
    assert run("check", str(file), "--phase", "abc/test") == Exit.UNREACHABLE
    assert run("check", str(file), "--phase", "abc/test", "--offline") == Exit.USAGE
    assert cli.run(["leaderboard", "abc/test"]) == Exit.USAGE
    with pytest.raises(SystemExit) as usage:
        run("submit")
    assert usage.value.code == 2
    assert "flair login" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLAIR_CONFIG_DIR", str(tmp_path / "file" / "config"))
    assert run("login", "--forget", "--json") == Exit.USAGE
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["code"] == "no-access"
    assert str(tmp_path / "file") in error["message"]


def test_without_a_cache_an_upload_is_not_remembered_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLAIR_CACHE_DIR", str(tmp_path / "file"))
    memory = tus.Memory(tus.File.of(tmp_path / "file"), "http://127.0.0.1:9")
    memory.write("http://127.0.0.1:9/api/v1/uploads/1")
    assert memory.read() is None
    memory.forget()


@pytest.mark.parametrize("pasted", ["my secret words", "jéton", "flair_a\nflair_b"])
def test_an_invalid_token_is_neither_sent_nor_printed(
    pasted: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAIR_TOKEN", pasted)
    assert run("status") == Exit.NOT_LOGGED_IN
    said = capsys.readouterr().err
    assert "no token" in said
    assert pasted not in said


def test_rows_of_a_table_written_to_a_file_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["x" * 300, "y" * 36]
    Output(lang="en", as_json=False).table([("a", False), ("b", False)], [names], whole=(1,))
    assert "  ".join(names) in capsys.readouterr().out.splitlines()[1]


def test_server_texts_hold_no_terminal_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(lang="en", as_json=False)
    name = "evil\x1b]0;title\x07\u202e\x9b2J"
    output.table([("a", False)], [[name]])
    output.line(name)
    output.remark(name)
    shown = "".join(capsys.readouterr())
    assert shown.count("evil") == 3
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    ("status", "code", "creation", "elsewhere"),
    [
        (409, "phase-closed", False, True),
        (429, "quota-day-used", False, True),
        (429, "too-many-requests", True, True),
        (503, "upload-streams-busy", True, True),
        (507, "upload-disk-full", True, True),
        (413, "archive-too-large", False, False),
        (502, "", True, True),
    ],
)
def test_a_permanent_refusal_is_not_retried(
    status: int, code: str, creation: bool, elsewhere: bool
) -> None:
    answer = httpx.Response(status, json={"code": code}) if code else httpx.Response(status)
    assert tus._passes(answer, is_creation=True) is creation
    assert tus._passes(answer, is_creation=False) is elsewhere


def test_json_errors_are_one_object_in_the_language_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        *("check", "no.zip", "--phase", "abc/test", "--offline"), *("--json", "--lang", "fr")
    )
    shown = capsys.readouterr()
    (error,) = json.loads(shown.out)["errors"]
    assert (code, error["code"], shown.err) == (2, "phase-not-fetched", "")
    assert "récupérée" in error["message"]


def test_both_languages_have_the_same_parameters() -> None:
    for code, (english, french) in texts.TEXTS.items():
        assert _fields(english) == _fields(french), code
        assert english, code


def _fields(text: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name}


def test_every_text_that_is_used_is_in_the_catalogue() -> None:
    said = set()
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[0]
                is_code = isinstance(first, ast.Constant) and isinstance(first.value, str)
                if name in {"say", "CommandError", "bar"} and is_code:
                    said.add(first.value)
    said -= {"upload-not-ready"}  # comes with a message of its own
    assert said <= set(texts.TEXTS)
    assert len(said) > 25


def test_every_text_of_the_catalogue_is_used() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in CLIENT.glob("*.py"))
    source = source.replace((CLIENT / "texts.py").read_text(encoding="utf-8"), "")
    unsaid = {code for code in texts.TEXTS if f'"{code}"' not in source}
    assert unsaid <= {f"state-{state}" for state in commands.MOVING | {*commands.RESULT_CODES}}


def test_no_django_is_needed() -> None:
    """The command imports nothing of the site: it installs without Django."""
    forbidden = {"django", "challenge", "celery", "ninja"}
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & forbidden, path.name
    assert "scoring.client.cli" in sys.modules
