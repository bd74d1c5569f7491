"""docker-compose.yml: valid, free of secrets, labels in workers alone, and its commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from challenge.embedded.data_folder import ROOT, valkey_program
from challenge.embedded.processes import ProcessGroup
from tests import compose
from tests.live_site import database_url, free_port

OURS = ("migrate", "web", "worker", "housekeeping", "beat", "gpu-worker", "organiser")
SERVERS = ("postgres", "broker", "cache", "proxy")
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


def test_compose_refuses_an_undefined_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    # It installs what owners seal, and has no port and no way outside.
    assert found.pop("labels") == [False]
    assert found.pop("worker") == [True]
    assert not any(found.values()), found


def test_evidence_is_mounted_in_workers_alone(services: dict[str, dict[str, Any]]) -> None:
    mounting = {name for name, service in services.items() if mounts(service, "evidence")}

    assert mounting == {"worker", "organiser"}


def test_processes_without_labels_get_no_labels_setting(
    services: dict[str, dict[str, Any]],
) -> None:
    told = {
        name
        for name, service in services.items()
        if service.get("environment", {}).get("LABELS_DIR")
    }

    assert told == {"worker", "labels", "organiser"}


def test_the_key_of_sealed_labels_is_in_one_service_alone(
    services: dict[str, dict[str, Any]],
) -> None:
    for volume in ("labels-key", "scoring-key"):
        assert [name for name, one in services.items() if mounts(one, volume)] == ["labels"]
    labels = services["labels"]
    assert not labels.get("ports")
    assert "outside" not in labels["networks"]


def test_there_is_no_secret_in_the_file() -> None:
    raw = yaml.safe_load(compose.FILE.read_text(encoding="utf-8"))
    for name, service in raw["services"].items():
        for key in service.get("environment", {}):
            secret = re.search(
                r"PASSWORD|SECRET|DATABASE_URL|REDIS_URL|CACHE_URL|STORAGE_URL|EMAIL_URL|RECEIPT_KEY",
                key,
            )
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
    for name in (*OURS, "proxy"):
        service = services[name]
        assert service["user"] == "10001:10001", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_proxy_alone_is_published(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: service.get("ports", []) for name, service in services.items()}

    assert [port["published"] for port in ports.pop("proxy")] == ["80", "443"]
    assert not any(ports.values())


def test_archives_of_an_object_store_and_weights_have_their_folders(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, gpu_worker = services["worker"], services["gpu-worker"]
    assert mounts(worker, "scratch") == [False]
    assert worker["environment"]["TMPDIR"] == "/srv/scratch"
    assert gpu_worker["environment"]["FLAIR_WEIGHTS_FOLDER"] == "/srv/weights"
    assert {one["target"]: one.get("read_only") for one in gpu_worker["volumes"]}["/srv/weights"]
    for name in OURS:
        assert services[name]["environment"]["STORAGE_URL_FILE"] == "/run/secrets/storage_url"
    made = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for target in ("/srv/scratch", "/srv/proxy"):
        assert f" {target}" in made  # a volume takes over the image's owner


def test_each_server_has_a_network_of_its_own(services: dict[str, dict[str, Any]]) -> None:
    networks = {name: set(service.get("networks", {})) for name, service in services.items()}

    assert networks["postgres"] == {"database"}
    assert networks["broker"] == {"broker"}
    assert networks["cache"] == {"cache"}
    outside = {name for name, joined in networks.items() if "outside" in joined}
    assert outside == {"web", "housekeeping"}
    assert networks["proxy"] == {"front", "public"}
    assert {name for name, joined in networks.items() if "front" in joined} == {"proxy", "web"}
    assert [name for name, joined in networks.items() if "public" in joined] == ["proxy"]


def test_cache_and_broker_are_two_servers_that_want_a_password(
    services: dict[str, dict[str, Any]],
) -> None:
    policies = {"broker": "noeviction", "cache": "allkeys-lru"}
    for name, policy in policies.items():
        command = services[name]["command"]
        assert command[command.index("--maxmemory-policy") + 1] == policy
        assert command[command.index("--aclfile") + 1] == f"/run/secrets/{name}_users"
    for name in OURS:
        assert services[name]["environment"]["REDIS_URL_FILE"] == "/run/secrets/broker_url"
        assert services[name]["environment"]["CACHE_URL_FILE"] == "/run/secrets/cache_url"


def test_base_images_may_be_named_by_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "registry.example/image@sha256:" + "0" * 64
    names = ("POSTGRES_IMAGE", "VALKEY_IMAGE", "NGINX_IMAGE", "PYTHON_IMAGE")
    chosen = dict.fromkeys(names, digest)
    monkeypatch.setattr(compose, "VARIABLES", compose.VARIABLES | chosen)
    found = compose.services()

    assert {found[name]["image"] for name in SERVERS} == {digest}
    assert {found[name]["build"]["args"]["PYTHON_IMAGE"] for name in OURS} == {digest}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {
        "${PYTHON_IMAGE}",
        "build",
        "base",
    }


def make_secrets(folder: Path) -> None:
    """Run what docs/operating.md tells to run before the first start, in ``folder``."""
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    block = text[text.index("```sh\n") + 6 :].partition("```")[0]
    lines = [
        line for line in block.splitlines() if not line.startswith(("sudo ", "export ", "docker "))
    ]
    subprocess.run(["bash", "-euc", "\n".join(lines)], cwd=folder, check=True)


@contextmanager
def valkey(
    name: str, services: dict[str, dict[str, Any]], secrets: Path, processes: ProcessGroup
) -> Iterator[str]:
    """Run the server ``name`` as the file has it; yields its address with user and password."""
    port = free_port()
    command = [
        str(secrets / Path(word).name) if word.startswith("/run/secrets/") else word
        for word in services[name]["command"]
    ]
    started = processes.start(
        name, (str(valkey_program()), *command[1:], "--port", str(port), "--bind", "127.0.0.1")
    )
    url = (secrets / f"{name}_url").read_text().replace(f"@{name}:6379", f"@127.0.0.1:{port}")
    patience = Retry(ConstantBackoff(0.05), 400)
    client = redis.Redis.from_url(url, retry=patience, retry_on_error=[redis.ConnectionError])
    assert client.ping(), started.tail()
    yield url


def test_a_stranger_in_the_network_can_neither_read_nor_write_nor_administer(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    make_secrets(tmp_path)
    with (
        ProcessGroup(logs=tmp_path / "logs") as processes,
        valkey("cache", services, tmp_path / "secrets", processes) as url,
    ):
        ours = redis.Redis.from_url(url)
        stranger = redis.Redis.from_url("redis://" + url.partition("@")[2])
        ours.set("flair:1:menu-items", b"value")
        for words in ("GET flair:1:menu-items", "SET a b", "CONFIG GET *"):
            with pytest.raises(redis.exceptions.RedisError):
                stranger.execute_command(*words.split())
        assert stranger.ping()  # which the container's health check asks
        for words in ("CONFIG GET *", "FLUSHALL", "KEYS *", "ACL LIST"):
            with pytest.raises(redis.exceptions.RedisError):
                ours.execute_command(*words.split())


@pytest.mark.django_db(transaction=True)
def test_each_command_runs_and_its_health_check_passes(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Both Valkey servers, migrate, web, the workers and beat as the file has them."""
    make_secrets(tmp_path)
    (tmp_path / "labels").mkdir()
    secrets = tmp_path / "secrets"
    (secrets / "database_url").write_text(database_url())
    port = free_port()
    with (
        ProcessGroup(logs=tmp_path / "logs") as processes,
        valkey("broker", services, secrets, processes) as broker_url,
        valkey("cache", services, secrets, processes) as cache_url,
    ):
        (secrets / "broker_url").write_text(broker_url)
        (secrets / "cache_url").write_text(cache_url)
        for name in ("migrate", "web", "worker", "housekeeping", "gpu-worker", "beat"):
            (tmp_path / name).mkdir()
            environment = {
                **{
                    key: str(value).replace("/run/secrets", str(secrets))
                    for key, value in services[name]["environment"].items()
                },
                "DATABASE_URL": "",
                "REDIS_URL": "",
                "SECRET_KEY": "",
                "EMAIL_URL": "memory://",
                "EMAIL_URL_FILE": "",
                "BIND": f"127.0.0.1:{port}",
                "STORAGE_URL": f"file://{tmp_path}/storage",
                "STORAGE_URL_FILE": "",
                "TMPDIR": "",
                "UPLOADS_DIR": str(tmp_path / "uploads"),
                "UPLOAD_TEMP_DIR": str(tmp_path),
                "LABELS_DIR": str(tmp_path / "labels") if name == "worker" else "",
                "EVIDENCE_DIR": str(tmp_path / "evidence") if name == "worker" else "",
                "BASELINES_DATA_DIR": str(tmp_path / "datasets"),
                "BASELINES_RUNS_DIR": str(tmp_path / "runs"),
                "FLAIR_DATA_DIR": str(tmp_path / name),
                "STATIC_MANIFEST": "0",
            }
            process = processes.start(
                name, installed(services[name]["command"]), environment=environment
            )
            if name == "migrate":
                assert process.popen.wait(PATIENCE_S) == 0, process.tail()
                processes.processes.remove(process)
                continue
            probe = installed(services[name]["healthcheck"]["test"][1:])
            began_s = time.monotonic()
            wait_until_healthy(processes, probe, environment)
            print(f"{name} was healthy after {time.monotonic() - began_s:.1f} s")
        processes.check()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=120) as answer:
            assert answer.read() == b"ok\n"  # the cache takes writes, too


def installed(command: list[str]) -> tuple[str, ...]:
    """The command with its program from this environment instead of the image's."""
    program = shutil.which(command[0], path=f"{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}")
    assert program is not None, command
    return (program, *command[1:])


def wait_until_healthy(
    processes: ProcessGroup, probe: tuple[str, ...], environment: dict[str, str]
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        processes.check()
        asked = subprocess.run(
            probe, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False
        )
        if asked.returncode == 0:
            return
        assert time.monotonic() < deadline, asked.stderr.decode() + processes.processes[-1].tail()
        time.sleep(0.3)
