"""The settings: documented, loud, and free of labels where the web runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from challenge import env
from challenge.embedded.data_folder import ROOT

READERS = {name for name in vars(env) if not name.startswith("_")}


def variables_read() -> set[str]:
    """The literal first argument of every ``env.reader("NAME")`` of the site."""
    found: set[str] = set()
    for path in (ROOT / "challenge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="env"), attr=reader),
                    args=[ast.Constant(value=str(name)), *_],
                ) if reader in READERS:
                    found.add(name)
    return found


def test_every_setting_has_its_heading_and_every_heading_its_setting() -> None:
    documented = re.findall(
        r"^### ([A-Z_]+)$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )

    assert len(documented) == len(set(documented))
    assert set(documented) == variables_read()


def test_nothing_else_reads_the_environment() -> None:
    """Only env.py; the launchers hand the whole environment on, and name no variable."""
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "challenge").rglob("*.py")
        if re.search(r"os\.getenv|os\.environ(\[|\.get\()", path.read_text(encoding="utf-8"))
    ]

    assert sorted(readers) == [
        "challenge/embedded/client.py",
        "challenge/embedded/servers.py",
        "challenge/env.py",
    ]


def settings_with(tmp_path: Path, *names: str, **environment: str) -> Any:
    """What a fresh process finds under ``names`` with just these variables."""
    words = (
        "import json; from challenge.config import settings;"
        f"print(json.dumps({{n: getattr(settings, n) for n in {names!r}}}, default=str))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "FLAIR_DATA_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1])
    return json.loads(ran.stdout)


PRODUCTION = {
    "DATABASE_URL": "postgresql://flair:s%40fe@db.example:6432/site?sslmode=require",
    "REDIS_URL": "redis://:pw@broker:6379/2",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdef",
    "SITE_URL": "https://challenges.example",
}


def test_production_addresses_are_taken_apart(tmp_path: Path) -> None:
    found = settings_with(tmp_path, "DATABASES", "CELERY_BROKER_URL", "CACHES", **PRODUCTION)

    database = found["DATABASES"]["default"]
    assert database["HOST"] == "db.example"
    assert database["PORT"] == 6432
    assert (database["USER"], database["PASSWORD"]) == ("flair", "s@fe")
    assert database["NAME"] == "site"
    assert database["OPTIONS"]["sslmode"] == "require"
    assert database["OPTIONS"]["connect_timeout"] == "5"
    assert found["CELERY_BROKER_URL"] == "redis://:pw@broker:6379/2"
    assert found["CACHES"]["default"]["LOCATION"] == "redis://:pw@broker:6379/2"


def test_https_makes_everything_strict(tmp_path: Path) -> None:
    names = (
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_SSL_REDIRECT",
        "SECURE_HSTS_SECONDS",
        "ALLOWED_HOSTS",
        "DEBUG",
    )
    found = settings_with(tmp_path, *names, **PRODUCTION)

    assert list(found.values()) == [
        True,
        True,
        True,
        31_536_000,
        ["challenges.example", "localhost", "127.0.0.1", "[::1]"],
        False,
    ]


@pytest.mark.parametrize(("behind", "count"), [("1", 1), ("0", 0)])
def test_log_ins_are_counted_by_client_behind_a_trusted_proxy(
    tmp_path: Path, behind: str, count: int
) -> None:
    name = "ALLAUTH_TRUSTED_PROXY_COUNT"
    assert settings_with(tmp_path, name, BEHIND_PROXY=behind, **PRODUCTION) == {name: count}


def test_the_web_runs_without_labels(tmp_path: Path) -> None:
    found = settings_with(tmp_path, "LABELS_DIR", "EVIDENCE_DIR", **PRODUCTION)

    assert found == {"LABELS_DIR": None, "EVIDENCE_DIR": None}


def test_evidence_lies_beside_the_labels(tmp_path: Path) -> None:
    found = settings_with(tmp_path, "EVIDENCE_DIR", LABELS_DIR="/srv/labels", **PRODUCTION)

    assert found == {"EVIDENCE_DIR": "/srv/evidence"}


def test_a_secret_key_is_demanded_where_the_database_is_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}

    with pytest.raises(RuntimeError, match="SECRET_KEY: is not set; set SECRET_KEY or"):
        settings_with(tmp_path, "DEBUG", **environment)


def test_development_may_have_any_secret_key(tmp_path: Path) -> None:
    found = settings_with(tmp_path, "SECRET_KEY", **{**PRODUCTION, "SECRET_KEY": "a", "DEBUG": "1"})

    assert found == {"SECRET_KEY": "a"}


def test_the_cache_may_be_a_server_of_its_own(tmp_path: Path) -> None:
    url = "redis://flair:pw@cache:6379/0"
    found = settings_with(tmp_path, "CACHES", "CELERY_BROKER_URL", CACHE_URL=url, **PRODUCTION)

    assert found["CACHES"]["default"]["LOCATION"] == url
    assert found["CELERY_BROKER_URL"] == PRODUCTION["REDIS_URL"]


def test_messages_are_json_and_nothing_else(tmp_path: Path) -> None:
    names = ("CELERY_TASK_SERIALIZER", "CELERY_ACCEPT_CONTENT")
    assert list(settings_with(tmp_path, *names, **PRODUCTION).values()) == ["json", ["json"]]


def test_a_checkout_makes_its_own_secret_key_once(tmp_path: Path) -> None:
    first = settings_with(tmp_path, "SECRET_KEY")
    again = settings_with(tmp_path, "SECRET_KEY")

    assert first == again
    assert len(first["SECRET_KEY"]) >= 50
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600


def test_storage_in_a_bucket(tmp_path: Path) -> None:
    url = "s3://key:s%2Fcret@flair/uploads?endpoint=https://s3.example&region=fr&addressing=path"
    found = settings_with(tmp_path, "STORAGES", STORAGE_URL=url, **PRODUCTION)

    options = found["STORAGES"]["default"]["OPTIONS"]
    assert (options["bucket_name"], options["location"]) == ("flair", "uploads")
    assert (options["access_key"], options["secret_key"]) == ("key", "s/cret")
    assert (options["endpoint_url"], options["region_name"]) == ("https://s3.example", "fr")
    assert options["file_overwrite"] is False


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("STORAGE_URL", "s3://b?endpont=x", "STORAGE_URL: has the options endpont; allowed are"),
        ("STORAGE_URL", "ftp://b", "STORAGE_URL: begins with 'ftp'; allowed are file://, s3://"),
        ("DATABASE_URL", "postgresql://db:5432", "DATABASE_URL: names no database"),
        ("DATABASE_URL", "mysql://db/x", "DATABASE_URL: begins with 'mysql'; allowed are"),
        ("REDIS_URL", "broker:6379", "REDIS_URL: begins with 'broker'"),
        ("DEBUG", "maybe", "DEBUG: is 'maybe'; allowed are 1, true"),
        ("SCORER_TIMEOUT_S", "0", "SCORER_TIMEOUT_S: is 0; allowed are whole numbers from 1"),
        ("SCORER_MEMORY", "6 apples", "SCORER_MEMORY: is '6 apples'"),
        ("LABELS_DIR", "labels", "LABELS_DIR: is 'labels'; give an absolute path"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: is 'LOUD'; allowed are DEBUG"),
        ("SECRET_KEY", "a" * 49, "SECRET_KEY: has 49 characters; 50 are needed; make one with"),
        ("SECRET_KEY", "a" * 64, "SECRET_KEY: is easily guessed; it must be random; make one"),
        (
            "SECRET_KEY",
            "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz",
            "SECRET_KEY: is easily guessed; it must be random; make one with 'openssl rand",
        ),
        ("OIDC_ISSUER", "http://login.example", "OIDC_ISSUER: is http; https is needed"),
        ("OIDC_ISSUER", "https://login.example", "OIDC_CLIENT_ID: is not set; OIDC_ISSUER needs"),
        ("SECRET_KEY_FILE", "/nowhere", "both SECRET_KEY and SECRET_KEY_FILE are set"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(message)):
        settings_with(tmp_path, "DEBUG", **{**PRODUCTION, name: value})


def test_static_files_and_their_imports_have_hashed_names(tmp_path: Path) -> None:
    """WhiteNoise's manifest fails on a file that names a missing one: found here, not at deploy."""
    ran = subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "FLAIR_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    collected = tmp_path / "static"
    paths = json.loads((collected / "staticfiles.json").read_text())["paths"]
    modules = [collected / hashed for name, hashed in paths.items() if name.startswith("js/")]
    imports = [
        (module.parent / url).resolve()
        for module in modules
        for url in re.findall(r'^import .* from "(.*)";$', module.read_text(), re.MULTILINE)
    ]
    assert len(imports) > 20
    assert not [url for url in imports if url not in {module.resolve() for module in modules}]
