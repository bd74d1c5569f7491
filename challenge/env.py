"""The one reader of the environment: typed, loud, and secrets may come from files.

Every reader takes the variable's name first. A value that cannot be understood raises
``BadSetting``, which names the variable, what was found and what is allowed. For each secret
``NAME``, ``NAME_FILE`` may name a file that holds it (as Docker and systemd hand secrets out).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})

KEY_CHARACTERS = 50
KEY_DIFFERENT_CHARACTERS = 10

SIZE_UNITS = {
    "": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


class BadSetting(Exception):
    """A variable of the environment is missing or cannot be understood."""

    def __init__(self, name: str, found: str, allowed: str) -> None:
        super().__init__(f"{name}: {found}; {allowed} (see docs/settings.md)")
        self.name = name


@dataclass(frozen=True)
class Address:
    """One URL of the environment, taken apart; the password never shows in ``repr``."""

    scheme: str
    user: str
    password: str
    host: str
    port: int | None
    path: str
    options: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Address({self.scheme}://{self.host}{self.path})"


def text(name: str, *, default: str = "") -> str:
    """The variable as it is, or ``default`` when it is unset."""
    return os.environ.get(name, default).strip()


def secret(name: str, *, default: str | None = None) -> str:
    """A secret: ``NAME``, else the content of the file named by ``NAME_FILE``, else ``default``.

    Raises ``BadSetting`` when both are set, when the file cannot be read or is empty, and when
    nothing is set and there is no default.
    """
    plain, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if plain and path:
        raise BadSetting(name, f"both {name} and {name}_FILE are set", "set one of them")
    if plain:
        return plain
    if path:
        try:
            value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(
                f"{name}_FILE", f"cannot read {path!r} ({error})", "name a readable text file"
            ) from error
        if not value:
            raise BadSetting(f"{name}_FILE", f"{path!r} is empty", "put the secret in it")
        return value
    if default is None:
        raise BadSetting(name, "is not set", f"set {name} or {name}_FILE")
    return default


def check_key(name: str, value: str) -> None:
    """Refuse a key that could be guessed. Raises ``BadSetting``, which says how to make one."""
    make_one = "make one with 'openssl rand -base64 48'"
    if len(value) < KEY_CHARACTERS:
        raise BadSetting(
            name, f"has {len(value)} characters", f"{KEY_CHARACTERS} are needed; {make_one}"
        )
    if len(set(value)) < KEY_DIFFERENT_CHARACTERS or value.startswith("django-insecure-"):
        raise BadSetting(name, "is easily guessed", f"it must be random; {make_one}")


def flag(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off."""
    value = os.environ.get(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise BadSetting(name, f"is {value!r}", "allowed are 1, true, yes, on, 0, false, no, off")


def integer(name: str, *, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number between ``minimum`` and ``maximum``, both included."""
    value = text(name)
    if not value:
        return default
    top = "" if maximum is None else f" to {maximum}"
    allowed = f"allowed are whole numbers from {minimum}{top}"
    try:
        number = int(value)
    except ValueError as error:
        raise BadSetting(name, f"is {value!r}", allowed) from error
    if number < minimum or (maximum is not None and number > maximum):
        raise BadSetting(name, f"is {number}", allowed)
    return number


def size_bytes(name: str, *, default: int) -> int:
    """A size such as ``5GB``, ``400MiB`` or a plain number of bytes."""
    value = text(name)
    if not value:
        return default
    digits = value.rstrip("kKMGiB ")
    unit = value[len(digits) :].strip()
    if not digits.isdecimal() or unit not in SIZE_UNITS:
        units = ", ".join(unit for unit in SIZE_UNITS if unit)
        raise BadSetting(name, f"is {value!r}", f"allowed is a whole number and one of {units}")
    return int(digits) * SIZE_UNITS[unit]


def words(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """A list separated by commas or spaces."""
    value = text(name)
    return value.replace(",", " ").split() if value else list(default)


def ports(name: str, *, default: tuple[int, ...] = ()) -> list[int]:
    """A list of port numbers, from 1 to 65535, separated by commas or spaces."""
    found = words(name)
    for word in found:
        if not (word.isascii() and word.isdecimal() and 1 <= int(word[:9]) <= 65535):
            raise BadSetting(name, f"names the port {word!r}", "ports are numbers from 1 to 65535")
    return [int(word) for word in found] or list(default)


def choice(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    """One word of ``allowed``."""
    value = text(name) or default
    if value not in allowed:
        raise BadSetting(name, f"is {value!r}", f"allowed are {', '.join(allowed)}")
    return value


def folder(name: str, *, default: Path | None = None) -> Path | None:
    """An absolute path. It need not exist yet; ``None`` where unset and without a default."""
    value = text(name)
    if not value:
        return default
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise BadSetting(name, f"is {value!r}", "give an absolute path")
    return path


def file(name: str, *, suffixes: tuple[str, ...]) -> Path | None:
    """An absolute path of a file that is there, with one of ``suffixes``; ``None`` where unset."""
    path = folder(name)
    if path is None:
        return None
    if path.suffix.lower() not in suffixes:
        raise BadSetting(name, f"is {str(path)!r}", f"allowed are files {', '.join(suffixes)}")
    if not path.is_file():
        raise BadSetting(name, f"is {str(path)!r}", "no such file")
    return path


def address(name: str, *, schemes: tuple[str, ...], default: str | None = None) -> Address | None:
    """A URL with one of ``schemes`` (a secret: it may hold a password, so NAME_FILE works)."""
    value = secret(name, default=default or "")
    return take_apart(name, value, schemes=schemes) if value else None


def take_apart(name: str, value: str, *, schemes: tuple[str, ...]) -> Address:
    """``value`` as an ``Address``; ``name`` is the variable that a mistake is blamed on."""
    try:
        parts: SplitResult = urlsplit(value)
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        raise BadSetting(name, f"is not a URL ({error})", f"begin with {schemes[0]}://") from error
    if parts.scheme not in schemes:
        starts = ", ".join(f"{scheme}://" for scheme in schemes)
        raise BadSetting(name, f"begins with {parts.scheme!r}", f"allowed are {starts}")
    return Address(
        scheme=parts.scheme,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=unquote(parts.hostname or ""),
        port=port,
        path=unquote(parts.path),
        options=options,
    )
