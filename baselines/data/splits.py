"""The official split of FLAIR by domain, and k folds for cross-validation.

Source: the published lists of train, validation and test domains. One public CSV has D070 where
the validation list has D077; this is the list of the papers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def _named(years: str) -> tuple[str, ...]:
    return tuple(f"D{name}" for name in years.split())


TRAIN_DOMAINS = _named(
    "006_2020 007_2020 008_2019 009_2019 013_2020 016_2020 017_2018 021_2020 023_2020 030_2021 "
    "032_2019 033_2021 034_2021 035_2020 038_2021 041_2021 044_2020 046_2019 049_2020 051_2019 "
    "052_2019 055_2018 060_2021 063_2019 070_2020 072_2019 074_2020 078_2021 080_2021 081_2020 "
    "086_2020 091_2021"
)
VAL_DOMAINS = _named("004_2021 014_2020 029_2021 031_2019 058_2020 066_2021 067_2021 077_2021")
TEST_DOMAINS = {
    "flair-1": _named(
        "012_2019 022_2021 026_2020 064_2021 068_2021 071_2020 075_2021 076_2019 083_2020 085_2019"
    ),
    "flair-2": _named(
        "015_2020 022_2021 026_2020 036_2020 061_2020 064_2021 068_2021 069_2020 071_2020 084_2021"
    ),
}


def official(domains: Iterable[str]) -> tuple[list[str], list[str]]:
    """Divide domains into the official train and validation ones, each sorted.

    Raises ValueError naming a domain of neither list (a test domain, or a misspelt one).
    """
    present = sorted(set(domains))
    unknown = [name for name in present if name not in TRAIN_DOMAINS + VAL_DOMAINS]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: in neither the official train nor the validation list; "
            "give the split's domains in the recipe"
        )
    return (
        [name for name in present if name in TRAIN_DOMAINS],
        [name for name in present if name in VAL_DOMAINS],
    )


def fold(domains: Iterable[str], *, k: int, held_out: int) -> tuple[list[str], list[str]]:
    """Give (train, validation) domains of fold `held_out` of `k`, whole domains only.

    Patches of one domain are alike, so a fold never divides one. Domains are dealt in sorted
    order, so that folds are the same on every machine.

    >>> fold(["D1", "D2", "D3"], k=3, held_out=1)
    (['D1', 'D3'], ['D2'])
    """
    present: Sequence[str] = sorted(set(domains))
    if not 2 <= k <= len(present):
        raise ValueError(f"{k} folds of {len(present)} domains; allowed are 2 to {len(present)}")
    if not 0 <= held_out < k:
        raise ValueError(f"fold {held_out}; allowed are 0 to {k - 1}")
    held = [name for index, name in enumerate(present) if index % k == held_out]
    return [name for name in present if name not in held], held
