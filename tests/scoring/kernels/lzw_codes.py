"""LZW as TIFF 6.0 (section 13) says it, slowly: writes codes as bytes, and decodes them."""

from __future__ import annotations

import random
from collections.abc import Iterable

CLEAR, END, FIRST_ENTRY, TABLE_CODES = 256, 257, 258, 4096


def packed(codes: Iterable[int]) -> bytes:
    """The codes as bytes, each as wide as a decoder expects it there."""
    bits = size = 0
    width, free, has_last = 9, FIRST_ENTRY, False
    for code in codes:
        bits = bits << width | code & (1 << width) - 1
        size += width
        if code == CLEAR:
            width, free, has_last = 9, FIRST_ENTRY, False
            continue
        free += has_last
        has_last = True
        if free + 1 >= 1 << width and width < 12:
            width += 1
    return (bits << -size % 8).to_bytes((size + 7) // 8, "big")


def decoded(data: bytes, size: int) -> bytes | None:
    """The first `size` bytes of the stream, None where it is not plainly valid.

    Plainly valid: begins with a clear; every code is known; no string goes beyond `size`; only a
    clear follows when the table is full.
    """
    if len(data) < 3 or data[0] != 0x80 or data[1] > 0x7F:
        return None
    bits, at = int.from_bytes(data, "big"), 8 * len(data)
    out = bytearray()
    strings: list[bytes] = []
    width, last = 9, b""
    while len(out) < size:
        at -= width
        if at < 0:
            return None
        code = bits >> at & (1 << width) - 1
        if code == CLEAR:
            strings, width, last = [], 9, b""
            continue
        if code < CLEAR:
            string = bytes([code])
        elif FIRST_ENTRY <= code < FIRST_ENTRY + len(strings):
            string = strings[code - FIRST_ENTRY]
        elif last and code == FIRST_ENTRY + len(strings):
            string = last + last[:1]
        else:
            return None
        if len(out) + len(string) > size:
            return None
        if last:
            if FIRST_ENTRY + len(strings) >= TABLE_CODES:
                return None
            strings.append(last + string[:1])
            if FIRST_ENTRY + len(strings) + 1 >= 1 << width and width < 12:
                width += 1
        out += string
        last = string
    return bytes(out)


def any_codes(rng: random.Random, *, most_bytes: int) -> tuple[list[int], list[int]]:
    """Codes that are mostly known to the table they build, and the bytes after each of them.

    Any length and mixture of them, until their strings have `most_bytes`. One that is wrong, and
    all that follow a full table, are taken for one byte.
    """
    codes, ends, lengths, last = [CLEAR], [0], list[int](), 0
    literals = rng.choice((0.05, 0.5, 1.0))
    newest = rng.choice((0.0, 0.3, 0.95))
    wrong = rng.choice((0.0, 0.0, 0.0, 0.0005))
    clear = rng.choice((0.0, 0.0, 0.0005, 0.02))
    overfull = rng.choice((0.0, 0.5))
    for _ in range(rng.choice((0, 1, 3, 40, 600, 4500, 4500))):
        known = FIRST_ENTRY + len(lengths) + bool(last)
        if rng.random() < clear or (known > TABLE_CODES and rng.random() >= overfull):
            codes.append(CLEAR)
            ends.append(ends[-1])
            lengths, last = [], 0
            continue
        if rng.random() < wrong:
            code = rng.randrange(TABLE_CODES)
        elif not last or rng.random() < literals:
            code = rng.randrange(256)
        elif rng.random() < newest:
            code = min(known, TABLE_CODES) - 1
        else:
            code = rng.randrange(FIRST_ENTRY, min(known, TABLE_CODES))
        if last:
            lengths.append(last + 1)
        entry = code - FIRST_ENTRY
        last = lengths[entry] if 0 <= entry < len(lengths) else 1
        if ends[-1] + last > most_bytes:
            break
        codes.append(code)
        ends.append(ends[-1] + last)
    return codes, ends
