"""The real commands with environments as desktops, clusters and typing errors make them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from scoring.client import http_client
from tests.client.servers import (
    HOST,
    PHASE,
    BannerServer,
    SiteServer,
    SocksServer,
    port_of,
    serving,
)
from tests.scoring.builders import write_archive

ROOT = Path(__file__).parents[2]
CLEARED = re.compile(r"(?i)(.*_proxy|FLAIR_.*|SSL.*|LANG|LC_.*|LANGUAGE|XDG_.*|SCORING_.*)")
SERVER = "http://flair.invalid"
CLOSED = f"{HOST}:9"  # nothing listens there
BAD_PROXIES = {
    "socks4://127.0.0.1:9050": "socks4://",
    "ftp://127.0.0.1:21": "ftp://",
    "http://127.0.0.1:port": "port",
    "http://127.0.0.1:99999": "99999",
    "127.0.0.1:80:80": "80",
    "http://": "host",
    "::1": "::1",
    "http://my proxy:80": "white space",
    "pa\tss": "pa",
}


class Participant:
    """Runs commands in a folder and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = write_archive(folder / "good.zip", {"001": np.zeros((3, 4), np.uint8)})

    def run(
        self, module: str, *argv: str | Path, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not CLEARED.fullmatch(k)}
        environment |= {"HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT)} | changes
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, argv)],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300,
            check=False, errors="replace",
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def flair(self, *argv: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
        return self.run("scoring.client", *argv, **changes)

    def fetch_task(
        self, server: str, *argv: str, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        out = ("-o", self.folder / "task.json", "--force")
        return self.flair("download", "task", PHASE, *out, "--server", server, *argv, **changes)

    def check_offline(self, **changes: str) -> subprocess.CompletedProcess[str]:
        server = () if "FLAIR_SERVER" in changes else ("--server", SERVER)
        return self.flair("check", self.archive, "--phase", PHASE, "--offline", *server, **changes)

    def submit_baseline(self, server: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            "baselines", "submit", self.archive, "--server", server, "--phase", PHASE,
            "--method-name", "m", **{"FLAIR_TOKEN": "flair_a_b"} | changes,
        )  # fmt: skip


@pytest.fixture
def participant(tmp_path: Path) -> Participant:
    return Participant(tmp_path)


@pytest.fixture
def fetched(participant: Participant) -> Participant:
    """The phase's list of patches was fetched before, for an address that no longer answers."""
    with serving(SiteServer()) as site:
        address = f"{HOST}:{port_of(site)}"
        done = participant.flair(
            "check", participant.archive, "--phase", PHASE, "--server", SERVER, http_proxy=address
        )
    assert done.returncode == 0, done.stderr
    return participant


@pytest.fixture
def site() -> Iterator[SiteServer]:
    with serving(SiteServer()) as server:
        yield server


@pytest.fixture
def socks() -> Iterator[SocksServer]:
    with serving(SocksServer()) as server:
        yield server


def url(server: SiteServer) -> str:
    return f"http://{HOST}:{port_of(server)}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_proxy", "socks://127.0.0.1:9/"),
        ("ALL_PROXY", "socks5h://127.0.0.1:9"),
        ("HTTP_PROXY", "http://127.0.0.1:port"),
        ("https_proxy", "gopher://127.0.0.1:70"),
        ("no_proxy", "localhost,[::1],fe80::/10"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
        ("SSL_CERT_FILE", "/etc/passwd"),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("SSLKEYLOGFILE", "/nonexistent/keys.log"),
        ("FLAIR_TOKEN", "not a token"),
        ("LC_ALL", "xx_XX.nonsense@odd"),
        ("LANG", "../../etc"),
    ],
)
def test_an_offline_check_needs_no_network_settings(
    fetched: Participant, name: str, value: str
) -> None:
    done = fetched.check_offline(**{name: value})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent", ""])
def test_an_offline_check_runs_without_a_home(fetched: Participant, home: str) -> None:
    cache = fetched.folder / "home" / ".cache" / "flair"
    done = fetched.check_offline(HOME=home, FLAIR_CACHE_DIR=str(cache))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent"])
def test_a_task_is_fetched_without_a_home(
    participant: Participant, site: SiteServer, home: str
) -> None:
    assert participant.fetch_task(url(site), HOME=home).returncode == 0


def test_a_login_that_cannot_be_kept_names_the_folder(
    participant: Participant, site: SiteServer
) -> None:
    done = participant.flair("login", "--forget", "--server", url(site), HOME="/dev/null")
    assert done.returncode == 2
    assert "/dev/null" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *(("all_proxy", value, said) for value, said in BAD_PROXIES.items()),
        *((name, "ftp://h:21", "ftp://") for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY")),
    ],
)
def test_an_invalid_proxy_is_named(
    participant: Participant, name: str, value: str, said: str
) -> None:
    done = participant.fetch_task(SERVER, **{name: value})
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert said in done.stderr


def test_the_error_is_in_french_and_in_json(participant: Participant) -> None:
    proxy = "socks4://someone:secret@127.0.0.1:9"
    done = participant.fetch_task(SERVER, LANG="fr_FR.UTF-8", ALL_PROXY=proxy)
    assert done.returncode == 2
    assert "variable d'environnement ALL_PROXY" in done.stderr
    assert "secret" not in done.stderr
    done = participant.fetch_task(SERVER, "--json", ALL_PROXY=proxy)
    (error,) = json.loads(done.stdout)["errors"]
    assert (error["code"], error["variable"]) == ("proxy-invalid", "ALL_PROXY")
    assert "secret" not in done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
        ("SSL_CERT_FILE", "/tmp"),
        ("SSL_CERT_FILE", "/etc/passwd"),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("SSLKEYLOGFILE", "/nonexistent/keys.log"),
    ],
)
def test_unusable_certificates_are_named_where_tls_is_needed(
    participant: Participant, site: SiteServer, name: str, value: str
) -> None:
    done = participant.fetch_task(f"https://{CLOSED}", **{name: value})
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert value in done.stderr
    assert participant.fetch_task(url(site), **{name: value}).returncode == 0


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "ALL_PROXY"])
def test_an_empty_variable_is_as_good_as_none(participant: Participant, name: str) -> None:
    done = participant.fetch_task(f"https://{CLOSED}", **{name: ""})
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("proxy", [f"http://{CLOSED}", f"socks5://{CLOSED}", f"socks://{CLOSED}"])
def test_a_proxy_out_of_reach_is_named(participant: Participant, proxy: str) -> None:
    done = participant.fetch_task(SERVER, all_proxy=proxy)
    assert done.returncode == 3, done.stderr
    assert "all_proxy" in done.stderr


def test_a_proxy_that_does_not_speak_socks_is_named(
    participant: Participant, site: SiteServer
) -> None:
    done = participant.fetch_task(SERVER, ALL_PROXY=f"socks5://{HOST}:{port_of(site)}")
    assert done.returncode == 3, done.stderr
    assert "ALL_PROXY" in done.stderr


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05", b""])
def test_a_proxy_that_answers_something_else_is_named(
    participant: Participant, words: bytes
) -> None:
    with serving(BannerServer(words)) as server:
        done = participant.fetch_task(SERVER, ALL_PROXY=f"socks://{HOST}:{port_of(server)}")
    assert done.returncode == 3, done.stderr
    assert "ALL_PROXY" in done.stderr


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("all_proxy", "socks://"),
        ("ALL_PROXY", "SOCKS://"),
        ("http_proxy", "socks5://"),
        ("HTTP_PROXY", "socks5h://"),
        ("ALL_PROXY", " socks5://"),
    ],
)
def test_requests_go_through_a_socks_proxy(
    participant: Participant, site: SiteServer, socks: SocksServer, name: str, scheme: str
) -> None:
    server = f"http://flair.invalid:{port_of(site)}"  # known to the proxy alone
    done = participant.fetch_task(server, **{name: f"{scheme}{HOST}:{port_of(socks)}/"})
    assert done.returncode == 0, done.stderr
    assert socks.wanted == [("flair.invalid", port_of(site))]


@pytest.mark.parametrize("form", ["http://{}", "{}", " http://{}/ ", "http://user:word@{}"])
def test_requests_go_through_an_http_proxy(
    participant: Participant, site: SiteServer, form: str
) -> None:
    done = participant.fetch_task(SERVER, http_proxy=form.format(f"{HOST}:{port_of(site)}"))
    assert done.returncode == 0, done.stderr
    assert site.targets[0].startswith(f"{SERVER}/api/v1/")


def test_a_file_of_the_data_set_is_fetched_as_the_environment_says(
    participant: Participant, site: SiteServer
) -> None:
    """The list comes from the site, the file from elsewhere: only that needs certificates."""
    token = {"FLAIR_TOKEN": "flair_a_b"}
    asked = ("download", "data", "abc", "--file", "part", "--server", url(site))
    done = participant.flair(*asked, SSL_CERT_FILE="/nonexistent/ca.pem", **token)
    assert done.returncode == 2, done.stderr
    assert "SSL_CERT_FILE" in done.stderr
    done = participant.flair(*asked, https_proxy="socks4://127.0.0.1:9", **token)
    assert done.returncode == 2, done.stderr
    assert "https_proxy" in done.stderr


@pytest.mark.parametrize(
    ("name", "no_proxy"),
    [
        ("no_proxy", "*"),
        ("no_proxy", "localhost , 127.0.0.0/8"),
        ("no_proxy", "fe80::/10,[::1]:80,127.0.0.1"),
        ("no_proxy", "[,::zz,:,//,127.0.0.1"),
        ("NO_PROXY", "[::1] 127.0.0.1"),
    ],
)
def test_hosts_of_no_proxy_are_reached_directly(
    participant: Participant, site: SiteServer, name: str, no_proxy: str
) -> None:
    done = participant.fetch_task(url(site), **{name: no_proxy, "all_proxy": "gopher://x"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("address", "no_proxy", "is_direct"),
    [
        ("http://[::1]:8000/", "::1", True),
        ("http://[::1]:8000/", "[::1]:8000", True),
        ("http://[::1]:8000/", "[::1]:80", False),
        ("http://[fe80::5]/", "fe80::/10", True),
        ("http://[fe80::5]/", "[fe80::/10]", True),
        ("https://www.ign.fr/", "ign.fr", True),
        ("https://www.ign.fr/", ".IGN.fr", True),
        ("https://www.ign.fr/", "*.ign.fr:443", True),
        ("https://wwwign.fr/", "ign.fr", False),
        ("https://ign.fr/", "http://ign.fr", False),
        ("https://ign.fr/", "all://ign.fr", True),
        ("https://ign.fr/", "127.0.0.0/8, , .", False),
        ("https://été.example/", "xn--t-9fab.example", True),
    ],
)
def test_entries_of_no_proxy(address: str, no_proxy: str, is_direct: bool) -> None:
    assert http_client.bypasses_proxy(httpx.URL(address), no_proxy) is is_direct


@pytest.mark.parametrize(
    "value", ["flair.example", "http://", "http://[::1", "http://a:99999", "http://a b", "ftp://a"]
)
def test_an_invalid_flair_server_is_named(participant: Participant, value: str) -> None:
    done = participant.flair("leaderboard", PHASE, FLAIR_SERVER=value)
    assert done.returncode == 2, done.stderr
    assert "FLAIR_SERVER" in done.stderr
    assert value in done.stderr


def test_an_invalid_flair_token_is_named_and_not_shown(participant: Participant) -> None:
    done = participant.flair("status", "--server", SERVER, FLAIR_TOKEN="my secret")
    assert done.returncode == 4, done.stderr
    assert "FLAIR_TOKEN" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "is_french"),
    [
        ({"LANG": "fr_CA.UTF-8"}, True),
        ({"LC_ALL": "fr"}, True),
        ({"FLAIR_LANG": " FR "}, True),
        ({"LANG": "fur_IT.UTF-8"}, False),  # Friulian
        ({"LANG": "fr_FR", "LC_ALL": "C"}, False),
        ({"LC_ALL": "nonsense"}, False),
        ({"FLAIR_LANG": "xx"}, False),
    ],
)
def test_odd_languages(
    participant: Participant, environment: dict[str, str], is_french: bool
) -> None:
    done = participant.flair("leaderboard", PHASE, **environment)
    assert done.returncode == 2, done.stderr
    assert ("Quel serveur" in done.stderr) is is_french


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({"http_proxy": "socks4://127.0.0.1:9"}, 2, "http_proxy"),
        ({"ALL_PROXY": "http://127.0.0.1:port"}, 2, "ALL_PROXY"),
        ({"FLAIR_TOKEN": "not a token"}, 4, "no token"),
    ],
)
def test_submitting_a_baseline_names_the_variable(
    participant: Participant, environment: dict[str, str], code: int, said: str
) -> None:
    done = participant.submit_baseline(SERVER, **environment)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_submitting_a_baseline_with_missing_certificates(participant: Participant) -> None:
    done = participant.submit_baseline(f"https://{CLOSED}", SSL_CERT_FILE="/nonexistent/ca.pem")
    assert done.returncode == 2, done.stderr
    assert "SSL_CERT_FILE" in done.stderr


def test_submitting_a_baseline_goes_through_socks(
    participant: Participant, site: SiteServer, socks: SocksServer
) -> None:
    server = f"http://flair.invalid:{port_of(site)}"
    done = participant.submit_baseline(server, all_proxy=f"socks://{HOST}:{port_of(socks)}")
    assert done.returncode in (1, 2, 3), done.stderr  # this site takes no uploads
    assert socks.wanted
    assert "501" in done.stderr
