"""Define the options of a comparison, without numpy, so that parsing a command stays quick."""

from dataclasses import dataclass
from typing import Literal

Bins = Literal["uniform", "quantile"]


@dataclass(frozen=True, slots=True)
class BootstrapDraws:
    """How often posts are resampled, and with which seed."""

    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """How two columns are compared."""

    threshold: float | None = None
    """A number is positive from here on; None: from 0.5 on where all are between 0 and 1."""
    bins: Bins = "uniform"
    """Of a calibration curve: of the same width, or of the same number of posts."""
    draws: BootstrapDraws
