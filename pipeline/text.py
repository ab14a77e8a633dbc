"""Write numbers, durations and suggestions into sentences. Pure."""

import difflib
import re
from collections.abc import Sequence

MINUTE, HOUR, DAY = 60, 3600, 86400

_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_MIB_PER_GIB = 1024


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number and its noun, such as `1 post` or `1,000 posts`.

    Args:
        number: how many.
        singular: the noun for one.
        plural: the noun for several; by default `singular` and an s.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """Return words as a list in a sentence."""
    if len(words) < 3:
        return f" {conjunction} ".join(words)
    return f"{', '.join(words[:-1])}, {conjunction} {words[-1]}"


def format_duration(seconds: float) -> str:
    """Return a duration to about two digits: `45 s`, `12 min`, `2.5 h`, `28 h`, `4 days`.

    Part of a second is 1 s: a wait of 0 s would be none.
    """
    if 0 < seconds < 1:
        return "1 s"
    if seconds < 2 * MINUTE:
        return f"{max(0, seconds):.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 3 * DAY:
        return f"{seconds / HOUR:.2g} h"
    return f"{seconds / DAY:.0f} days"


def estimated_duration(seconds: float) -> str:
    """Return a duration that is only an estimate: `about 12 min`, or `less than a minute`."""
    return f"about {format_duration(seconds)}" if seconds >= MINUTE else "less than a minute"


def format_bytes(number: float) -> str:
    """Return a number of bytes to about two digits: `999 bytes`, `1.5 GB`, `120 MB`."""
    value, place = number, 0
    while value >= 999.5 and place < len(_BYTE_UNITS) - 1:
        value, place = value / 1000, place + 1
    digits = 1 if place and value < 9.95 else 0
    return f"{value:,.{digits}f} {_BYTE_UNITS[place]}"


def format_memory(mebibytes: float) -> str:
    """Return an amount of memory to about three digits: `212 MiB`, `4 GiB`, `1.25 GiB`."""
    if mebibytes < _MIB_PER_GIB - 0.5:
        return f"{mebibytes:.0f} MiB"
    gibibytes = mebibytes / _MIB_PER_GIB
    return f"{gibibytes:,.0f} GiB" if gibibytes >= 99.5 else f"{gibibytes:.3g} GiB"


def nearest(word: str, names: Sequence[str]) -> str | None:
    """Return the name whose spelling is closest to a word, or None where none is close."""
    in_other_case = [name for name in names if name.casefold() == word.casefold()]
    if in_other_case:
        return in_other_case[0]
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)


def did_you_mean(word: str, names: Sequence[str]) -> str:
    """Return a suggestion to append to an error about a word; empty where no name is close."""
    name = nearest(word, names)
    return f" (did you mean {name!r}?)" if name else ""


def without_numbers(text: str) -> str:
    """Return a text with `#` for each number: texts that differ in numbers only become equal."""
    return re.sub(r"\d+", "#", text)
