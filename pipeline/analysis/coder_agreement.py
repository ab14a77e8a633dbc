"""Measure how well coders agree, by Krippendorff's alpha. Pure.

Source: K. Krippendorff, Content Analysis, chapter 12. The tests compare it with the package
krippendorff, which this needs nothing of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What the difference between two values means."""

    NOMINAL = "nominal"
    """They are the same or they are not."""
    INTERVAL = "interval"
    """The square of their distance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CoderAgreement:
    """How far coders agree about one label."""

    label: str
    level: Level
    units: int
    """The posts with at least two codings."""
    coders: int
    """Who coded at least one of these."""
    identical: int
    """The posts of these on which all coders agree."""
    alpha: float | None
    """Krippendorff's alpha; None where it is not defined."""
    why: str = ""
    """Why alpha is not defined; '' where it is."""


Value = str | float | int | bool


def measure_agreement(
    label: str, level: Level, codings: Sequence[dict[str, Value]]
) -> CoderAgreement:
    """Return the agreement about one label.

    Args:
        label: its name.
        level: nominal for words and flags, interval for numbers.
        codings: for each post, the value by coder, without those who left it blank.
    """
    units = [list(values.values()) for values in codings if len(values) > 1]
    coders = {coder for values in codings if len(values) > 1 for coder in values}
    alpha, why = _alpha(units, level)
    return CoderAgreement(
        label=label,
        level=level,
        units=len(units),
        coders=len(coders),
        identical=sum(len(set(values)) == 1 for values in units),
        alpha=alpha,
        why=why,
    )


def _alpha(units: list[list[Value]], level: Level) -> tuple[float | None, str]:
    if not units:
        return None, "no post was coded by two people"
    values = [value for unit in units for value in unit]
    expected = _differences(values, level) / (len(values) - 1)
    if not expected:
        return None, "all codings are the same, so there is nothing to agree about"
    observed = sum(_differences(unit, level) / (len(unit) - 1) for unit in units)
    return 1 - observed / expected, ""


def _differences(values: Sequence[Value], level: Level) -> float:
    """Return the sum of the differences of all pairs of values, each pair in both orders."""
    count = len(values)
    if level is Level.NOMINAL:
        return float(count * count - sum(same * same for same in Counter(values).values()))
    # Around their mean, so that large numbers lose no digits.
    mean = sum(map(float, values)) / count
    return 2 * count * sum((float(value) - mean) ** 2 for value in values)
