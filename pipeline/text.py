"""Write numbers, durations and suggestions into sentences. Pure."""

import difflib
from collections.abc import Sequence

MINUTE, HOUR, DAY = 60, 3600, 86400


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number and its noun, such as `1 post` or `1,000 posts`.

    Args:
        number: how many.
        singular: the noun for one.
        plural: the noun for several; by default `singular` and an s.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


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
