"""Reject numbers that are too small or too large, as the options of commands do."""

from pipeline.errors import InputError
from pipeline.messages.option import Option

HIGHEST_SEED = 2**53
"""JSON's numbers are exact up to it in R and JavaScript."""


def check_least(option: Option | str, value: float | None, least: int) -> None:
    """Raise InputError if a number is below `least`."""
    if value is not None and not value >= least:
        raise InputError(f"{_given(option, value)}: should be {least} or more")


def check_above_zero(option: Option | str, value: float | None) -> None:
    """Raise InputError if a number is 0 or less, or infinite."""
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"{_given(option, value)}: should be above 0")


def check_seed(option: Option | str, value: int) -> None:
    """Raise InputError if a number is no seed that every program can hold."""
    if not 0 <= value <= HIGHEST_SEED:
        raise InputError(f"{_given(option, value)}: should be from 0 to {HIGHEST_SEED:,}")


def _given(option: Option | str, value: float) -> str:
    return option.set_to(value) if isinstance(option, Option) else f"{option}={value}"
