"""Student's t distribution for any real number of degrees of freedom, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist

_TINY = 1e-300
_MOST_TERMS = 300
_MOST_STEPS = 100


def cdf(t: float, *, degrees: float) -> float:
    """The probability of a value below ``t``; ``degrees`` is above 0.

    >>> round(cdf(2.262157, degrees=9), 6), round(cdf(-1.0, degrees=1), 6)
    (0.975, 0.25)
    """
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * _incomplete_beta(degrees / (degrees + t * t), a=degrees / 2, b=0.5)
    return 1.0 - tail if t > 0 else tail


def quantile(probability: float, *, degrees: float) -> float:
    """The value below which a variable lies with ``probability``, which is from 0.5 to below 1.

    By Newton's method from the normal quantile, which lies below: the distribution is concave
    there, so every step comes closer from the same side.

    >>> round(quantile(0.975, degrees=9), 4), round(quantile(0.975, degrees=1), 2)
    (2.2622, 12.71)
    """
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    scale /= math.sqrt(degrees * math.pi)
    t = NormalDist().inv_cdf(probability)
    for _ in range(_MOST_STEPS):
        density = scale * (1 + t * t / degrees) ** (-(degrees + 1) / 2)
        step = (probability - cdf(t, degrees=degrees)) / density
        t += step
        if step <= 1e-12 * t:
            break
    return t


def _incomplete_beta(x: float, *, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) (DLMF 8.17.4 and 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return min(1.0, max(0.0, x))
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(x, a=a, b=b) / a
    return 1.0 - front * _continued_fraction(1.0 - x, a=b, b=a) / b


def _continued_fraction(x: float, *, a: float, b: float) -> float:
    """The fraction of DLMF 8.17.22, evaluated by the modified Lentz algorithm."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = value
        for coefficient in (even, odd):
            d = 1.0 / _not_zero(1.0 + coefficient * d)
            c = _not_zero(1.0 + coefficient / c)
            value *= c * d
        if abs(value - before) <= 1e-15 * abs(value):
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
