"""Time limits as sbatch takes them. Pure."""

import math
import re

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
