"""Passwords: OWASP's parameters, bounded memory, as many hashes for strangers as for members."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

from challenge.models import User
from challenge.services.accounts import passwords
from tests.helpers import refused

PASSWORD = "correct horse battery"
KNOWN, UNKNOWN = "ada@example.org", "nobody@example.org"


@pytest.fixture(autouse=True)
def _real_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["challenge.services.accounts.passwords.Argon2Hasher"]


@pytest.fixture
def ada(db: None) -> User:
    user = User.objects.create_user("ada", KNOWN, PASSWORD)
    EmailAddress.objects.create(user=user, email=KNOWN, verified=True, primary=True)
    return user


def test_hashes_have_the_parameters_of_owasp() -> None:
    assert make_password(PASSWORD).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_an_old_hash_is_replaced_at_log_in(ada: User, client: Client) -> None:
    old = Argon2PasswordHasher().encode(PASSWORD, "saltsaltsalt")
    assert "m=102400,t=2,p=8" in old
    User.objects.filter(pk=ada.pk).update(password=old)
    client.post("/accounts/login/", {"login": KNOWN, "password": PASSWORD})
    ada.refresh_from_db()
    assert "m=19456,t=2,p=1" in ada.password
    assert check_password(PASSWORD, ada.password)


def sign_up(client: Client, email: str) -> None:
    client.post(
        "/accounts/signup/",
        {"email": email, "username": "newcomer", "password1": PASSWORD, "password2": PASSWORD},
    )


def log_in(client: Client, email: str) -> None:
    client.post("/accounts/login/", {"login": email, "password": "wrong"})


def reset(client: Client, email: str) -> None:
    client.post("/accounts/password/reset/", {"email": email})


def change_address(client: Client, email: str) -> None:
    member = User.objects.create_user("member", "member@example.org", PASSWORD)
    EmailAddress.objects.create(
        user=member, email="member@example.org", verified=True, primary=True
    )
    client.force_login(member)
    client.post("/accounts/email/", {"action_add": "", "email": email})


@pytest.mark.parametrize(
    "act", [sign_up, log_in, reset, change_address], ids=lambda act: act.__name__
)
def test_an_address_with_an_account_costs_as_many_hashes(
    ada: User, act: Callable[[Client, str], None]
) -> None:
    counts = []
    for email in (KNOWN, UNKNOWN):
        User.objects.exclude(pk=ada.pk).delete()
        cache.clear()  # of the limits of requests
        before = passwords.memory.computed
        act(Client(), email)
        counts.append(passwords.memory.computed - before)
    assert counts[0] == counts[1]


def test_hashing_memory_is_bounded(settings: Settings) -> None:
    settings.PASSWORD_MEMORY_BYTES = 2 * passwords.MEMORY_KIB * passwords.KIB
    memory = passwords.HashMemory()
    running, most = 0, 0
    lock = threading.Lock()

    def hash_once() -> None:
        nonlocal running, most
        with memory.reserved(passwords.MEMORY_KIB):
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.05)
            with lock:
                running -= 1

    threads = [threading.Thread(target=hash_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, memory.computed) == (2, 6)


def test_more_hashes_than_may_wait_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSWORD_MEMORY_BYTES = 1
    monkeypatch.setattr(passwords, "WAIT_S", 0.1)
    memory = passwords.HashMemory()
    one = memory.reserved(passwords.MEMORY_KIB)
    with one, refused("passwords-busy"), memory.reserved(passwords.MEMORY_KIB):
        raise AssertionError("there is no memory for a second hash")
    with memory.reserved(100 * passwords.KIB):
        pass  # larger than all of it, and alone
    assert memory.computed == 2


def test_too_many_log_ins_are_503_in_words(
    ada: User, client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSWORD_MEMORY_BYTES = 1
    monkeypatch.setattr(passwords, "WAITING_MAX", 0)
    client.raise_request_exception = False
    with passwords.memory.reserved(passwords.MEMORY_KIB):
        answer = client.post("/accounts/login/", {"login": KNOWN, "password": PASSWORD})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "at the moment" in answer.content.decode()
