"""docker-compose.yml: valid, free of secrets, labels in workers alone, and its commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from challenge.config.engines.places import ROOT
from challenge.config.processes import Crew
from tests import compose
from tests.live_site import database_url, free_port

OURS = ("migrate", "web", "worker", "beat", "gpu-worker", "organiser")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return compose.services()


def mounts(service: dict[str, Any], source: str) -> list[bool]:
    """Whether each mount of the volume ``source`` is read-only."""
    return [
        bool(volume.get("read_only"))
        for volume in service.get("volumes", [])
        if volume["source"] == source
    ]


def test_compose_itself_accepts_the_file() -> None:
    answer = compose.ask("--quiet")

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(compose.FILE.read_text().replace("volumes:\n  database:\n", "volumes:\n"))
    monkeypatch.setattr(compose, "FILE", broken)

    answer = compose.ask("--quiet")

    assert answer.returncode != 0
    assert "undefined volume database" in answer.stderr


def test_labels_are_mounted_in_workers_alone_and_read_only(
    services: dict[str, dict[str, Any]],
) -> None:
    found = {name: mounts(service, "labels") for name, service in services.items()}

    # The organiser's commands install labels; they run by hand and listen to nobody.
    assert found.pop("organiser") == [False]
    assert found.pop("worker") == [True]
    assert not any(found.values()), found


def test_evidence_is_mounted_in_workers_alone(services: dict[str, dict[str, Any]]) -> None:
    holders = {name for name, service in services.items() if mounts(service, "evidence")}

    assert holders == {"worker", "organiser"}


def test_no_process_without_labels_is_told_where_they_are(
    services: dict[str, dict[str, Any]],
) -> None:
    told = {
        name
        for name, service in services.items()
        if service.get("environment", {}).get("LABELS_DIR")
    }

    assert told == {"worker", "organiser"}


def test_there_is_no_secret_in_the_file() -> None:
    raw = yaml.safe_load(compose.FILE.read_text(encoding="utf-8"))
    for name, service in raw["services"].items():
        for key in service.get("environment", {}):
            secret = re.search(r"PASSWORD|SECRET|DATABASE_URL|EMAIL_URL|RECEIPT_KEY", key)
            assert not secret or key.endswith("_FILE"), f"{name} has {key}"
    assert not re.search(r"://[^/\s]*:[^/\s@]+@", compose.FILE.read_text(encoding="utf-8"))


def test_every_lasting_service_has_a_health_check_and_a_memory_limit(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service.get("mem_limit"), name
        if name not in {"migrate", "organiser"}:
            assert service["healthcheck"]["test"], name


def test_our_containers_have_no_rights_to_lose(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        service = services[name]
        assert service["user"] == "10001:10001", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_web_is_published_to_this_host_alone(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: service.get("ports", []) for name, service in services.items()}

    assert [port["host_ip"] for port in ports.pop("web")] == ["127.0.0.1"]
    assert not any(ports.values())


@pytest.mark.django_db(transaction=True)
def test_each_command_runs_and_its_health_check_passes(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """migrate, web, worker, gpu-worker and beat as the file has them, against real engines."""
    secret = tmp_path / "database_url"
    secret.write_text(database_url())
    port = free_port()
    with Crew(logs=tmp_path / "logs") as crew:
        for name in ("migrate", "web", "worker", "gpu-worker", "beat"):
            (tmp_path / name).mkdir()
            environment = {
                **{key: str(value) for key, value in services[name]["environment"].items()},
                "DATABASE_URL": "",
                "DATABASE_URL_FILE": str(secret),
                "REDIS_URL": settings.REDIS_URL,
                "SECRET_KEY": "x" * 50,
                "SECRET_KEY_FILE": "",
                "EMAIL_URL": "memory://",
                "EMAIL_URL_FILE": "",
                "BIND": f"127.0.0.1:{port}",
                "STORAGE_URL": f"file://{tmp_path}/storage",
                "UPLOADS_DIR": str(tmp_path / "uploads"),
                "UPLOAD_TEMP_DIR": str(tmp_path),
                "LABELS_DIR": str(tmp_path / "labels") if name == "worker" else "",
                "EVIDENCE_DIR": str(tmp_path / "evidence") if name == "worker" else "",
                "BASELINES_DATA_DIR": str(tmp_path / "datasets"),
                "BASELINES_RUNS_DIR": str(tmp_path / "runs"),
                "FLAIR_DATA_DIR": str(tmp_path / name),
                "STATIC_MANIFEST": "0",
            }
            process = crew.start(
                name, installed(services[name]["command"]), environment=environment
            )
            if name == "migrate":
                assert process.popen.wait(PATIENCE_S) == 0, process.tail()
                crew.members.remove(process)
                continue
            probe = installed(services[name]["healthcheck"]["test"][1:])
            began_s = time.monotonic()
            wait_until_healthy(crew, probe, environment)
            print(f"{name} was healthy after {time.monotonic() - began_s:.1f} s")
        crew.check()


def installed(command: list[str]) -> tuple[str, ...]:
    """The command with its program from this environment instead of the image's."""
    program = shutil.which(command[0], path=f"{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}")
    assert program is not None, command
    return (program, *command[1:])


def wait_until_healthy(crew: Crew, probe: tuple[str, ...], environment: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        crew.check()
        asked = subprocess.run(
            probe, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False
        )
        if asked.returncode == 0:
            return
        assert time.monotonic() < deadline, asked.stderr.decode() + crew.members[-1].tail()
        time.sleep(0.3)
