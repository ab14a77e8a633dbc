"""Parse and write time limits as sbatch takes them. Pure."""

import math
import re

from pipeline.config.keys import Wrong

# What the message about a key in minutes says where somebody writes Slurm's notation.
TIME_IN_NOTATION = "`time` takes Slurm's notation"
MAX_TIME_IN_NOTATION = "`max_time` takes Slurm's notation"

_FORMS = (
    r"(?P<minutes>\d+)(?::(?P<seconds>\d+))?",
    r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)",
    r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?",
)
_MINUTES = {"days": 24 * 60, "hours": 60, "minutes": 1, "seconds": 1 / 60}


def parse_slurm_time(text: str) -> int:
    """Return a time limit in minutes, rounded up.

    The forms are those of sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours,
    days-hours:minutes and days-hours:minutes:seconds.

    Raises:
        ValueError: the text has none of these forms, or is 0.
    """
    for form in _FORMS:
        if match := re.fullmatch(form, text.strip(), re.ASCII):
            parts = {unit: int(value) for unit, value in match.groupdict().items() if value}
            minutes = math.ceil(sum(_MINUTES[unit] * value for unit, value in parts.items()))
            if minutes:
                return minutes
    raise ValueError(f"should be a time such as 90, 4:00:00 or 2-00:00:00, not {text!r}")


def format_slurm_time(minutes: float) -> str:
    """Return a time as Slurm prints it, to the second, such as `4:00:00` or `2-00:00:00`."""
    rest, seconds = divmod(round(60 * minutes), 60)
    rest, minute = divmod(rest, 60)
    days, hours = divmod(rest, 24)
    clock = f"{minute:02}:{seconds:02}"
    return f"{days}-{hours:02}:{clock}" if days else f"{hours}:{clock}"


def minutes_of(name: str, text: str | None, minutes: int) -> int:
    """Return what a key in Slurm's notation says; `minutes` where it is not given.

    Raises:
        Wrong: the key `name` is not such a time.
    """
    if text is None:
        return minutes
    try:
        return parse_slurm_time(text)
    except ValueError as error:
        raise Wrong(name, str(error)) from None
