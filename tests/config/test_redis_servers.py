"""Redis over TLS is verified, and a master that dies is replaced by the one that Sentinel names."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from celery import current_app
from kombu import Connection
from kombu.exceptions import OperationalError

from challenge import env
from challenge.config import redis_servers
from challenge.config.cache import PAUSE_S, SiteCache
from challenge.embedded import data_folder
from challenge.services.task_queue import TaskName
from tests import certificates
from tests.certificates import Certificates
from tests.helpers import wait_until
from tests.live_site import free_port
from tests.worker_process import WorkerProcess

REDIS = shutil.which("redis-server")
MASTER = "flair"
PASSWORD = "p;w @ of the master"


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run(programs: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    programs.callback(process.wait)
    programs.callback(process.kill)
    return process


def answers(port: int, **options: object) -> None:
    """Wait until the server at ``port`` answers."""

    def ping() -> bool:
        try:
            return bool(redis.Redis("127.0.0.1", port, **options).ping())
        except redis.exceptions.ConnectionError:
            return False

    wait_until(ping, f"the server at {port}")


def cache_of(server: redis_servers.RedisServer) -> SiteCache:
    return SiteCache(server.url, {"OPTIONS": {"timeout_s": 5, **server.cache_options()}})


def connection_of(server: redis_servers.RedisServer) -> Connection:
    return Connection(
        server.broker_url(),
        ssl=server.broker_tls(),
        transport_options={"socket_connect_timeout": 3, **server.broker_options()},
    )


@pytest.fixture
def tls(tmp_path: Path) -> Certificates:
    return certificates.make(tmp_path)


@pytest.mark.skipif(REDIS is None, reason="no redis-server with TLS (apt-get install redis-server)")
def test_a_certificate_of_an_unknown_authority_is_refused_by_cache_and_broker(
    programs: ExitStack, tls: Certificates
) -> None:
    port = free_port()
    run(
        programs,
        *(str(REDIS), "--port", "0", "--tls-port", str(port), "--save", ""),
        *("--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key)),
        *("--tls-ca-cert-file", str(tls.authority), "--tls-auth-clients", "no"),
    )
    answers(port, ssl=True, ssl_ca_certs=str(tls.authority))
    url = f"rediss://127.0.0.1:{port}/0"

    stranger = redis_servers.read("REDIS_URL", url, ca=None)
    cache = cache_of(stranger)
    cache.set("name", "value")
    assert "CERTIFICATE_VERIFY_FAILED" in cache.availability.error
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connection_of(stranger).ensure_connection(max_retries=1, timeout=5)

    known = redis_servers.read("REDIS_URL", url, ca=tls.authority)
    cache.availability.succeeded()  # it is kept by address
    other = cache_of(known)
    other.set("name", "value")
    assert (other.get("name"), other.availability.error) == ("value", "")
    with connection_of(known) as connection:
        connection.SimpleQueue("default").put({"hello": "broker"})
        assert connection.SimpleQueue("default").get(timeout=5).payload == {"hello": "broker"}


@pytest.mark.parametrize("program", ["valkey", "redis with TLS"])
@pytest.mark.django_db(transaction=True)
def test_a_dead_master_is_replaced_for_cache_and_broker(
    programs: ExitStack, tls: Certificates, tmp_path: Path, program: str
) -> None:
    has_tls = program != "valkey"
    if has_tls and REDIS is None:
        pytest.skip("no redis-server with TLS (apt-get install redis-server)")
    server_program = str(REDIS if has_tls else data_folder.valkey_program())
    ports = [free_port() for _ in range(3)]
    options = {"ssl": True, "ssl_ca_certs": str(tls.authority)} if has_tls else {}

    def server(port: int, *more: str) -> subprocess.Popen[bytes]:
        listen = ("--port", "0", "--tls-port", str(port)) if has_tls else ("--port", str(port))
        files = (
            *("--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key)),
            *("--tls-ca-cert-file", str(tls.authority), "--tls-auth-clients", "no"),
            *("--tls-replication", "yes"),
        )
        return run(programs, server_program, *more, *listen, *(files if has_tls else ()))

    login = (
        "--requirepass",
        PASSWORD,
        "--masterauth",
        PASSWORD,
        "--save",
        "",
        "--dir",
        str(tmp_path),
    )
    master = server(ports[0], *login)
    answers(ports[0], password=PASSWORD, **options)
    server(ports[1], *login, "--replicaof", f"127.0.0.1 {ports[0]}")
    answers(ports[1], password=PASSWORD, **options)
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor {MASTER} 127.0.0.1 {ports[0]} 1\n"
        f'sentinel auth-pass {MASTER} "{PASSWORD}"\n'
        f"sentinel down-after-milliseconds {MASTER} 1500\n"
        f"sentinel failover-timeout {MASTER} 3000\n"
    )
    server(ports[2], str(configuration), "--sentinel")
    answers(ports[2], **options)
    sentinel = redis.Redis("127.0.0.1", ports[2], **options)
    wait_until(lambda: sentinel.sentinel_slaves(MASTER), "the sentinel to know the replica")

    scheme = "rediss" if has_tls else "redis"
    # Nobody listens at the first address: the next sentinel is asked.
    url = (
        f"{scheme}+sentinel://:p%3Bw%20%40%20of%20the%20master@127.0.0.1:{free_port()},"
        f"127.0.0.1:{ports[2]}/0?master={MASTER}"
    )
    found = redis_servers.read("REDIS_URL", url, ca=tls.authority if has_tls else None)
    cache = cache_of(found)
    cache.set("name", "before")
    assert (cache.get("name"), cache.availability.error) == ("before", "")

    class Worker(WorkerProcess):
        def environment(self) -> dict[str, str]:
            authority = {"REDIS_CA": str(tls.authority)} if has_tls else {}
            return {"REDIS_URL": url, **authority}

    worker = Worker(tmp_path / "worker.log", queues="default")
    worker.start()
    programs.callback(worker.stop)

    def send() -> None:
        with connection_of(found) as connection:
            current_app.send_task(
                TaskName.SWEEP.value, queue="default", ignore_result=True, connection=connection
            )

    worker.wait_until(lambda: "ready." in worker.log_tail(), "the worker")
    send()
    worker.wait_until(lambda: "succeeded" in worker.log_tail(), "the first sweep")

    master.kill()
    wait_until(
        lambda: sentinel.sentinel_get_master_addr_by_name(MASTER)[1] == ports[1],
        "the replica to be master",
    )

    def sweeps() -> int:
        """Count in the whole log: the first one leaves its end while the worker reconnects."""
        return worker.log.read_text(errors="replace").count("succeeded")

    before = sweeps()
    send()
    worker.wait_until(lambda: sweeps() > before, "the second sweep")
    assert worker.process is not None
    assert worker.process.poll() is None
    cache.set("name", "lost")  # finds out that the connection is dead
    time.sleep(0 if not cache.availability.error else PAUSE_S)
    cache.set("name", "after")
    assert (cache.get("name"), cache.availability.error) == ("after", "")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rediss://h:1/0?ssl_cert_reqs=none", "certificates are always verified"),
        ("redis+sentinel://a:1,b:2/0", "names no master; allowed are master"),
        ("redis+sentinel://a:1/0?master=m&quorum=2", "has the options quorum; allowed are"),
        ("redis+sentinel://a:1,:2/0?master=m", "is no address of sentinels (a host is missing)"),
        ("redis+sentinel://a:x/0?master=m", "is no address of sentinels"),
        ("redis+sentinel://a/first?master=m", "is no address of sentinels"),
    ],
)
def test_mistakes_are_named(url: str, message: str) -> None:
    with pytest.raises(env.BadSetting) as caught:
        redis_servers.read("REDIS_URL", url, ca=None)

    assert message in str(caught.value)


def test_an_authority_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")

    with pytest.raises(env.BadSetting, match=r"REDIS_CA: .* cannot be used"):
        redis_servers.read("REDIS_URL", "rediss://h:1/0", ca=broken)
