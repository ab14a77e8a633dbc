"""Write numbers, times and lists for a reader of the page. Pure."""

from datetime import date, datetime

from hpc.html_report.facts import LabelCounts, Period
from pipeline.backlog.select import FIRST_CREDIBLE_YEAR
from pipeline.text import counted, listed

_LENGTHS = {Period.DAY: 10, Period.WEEK: 10, Period.MONTH: 7, Period.YEAR: 4}
"""Of the beginning of a date that names a period, such as 2024-05."""
_LONGEST_NAME = 60


def format_day(when: date | None) -> str:
    """Return a day such as `May 3, 2024`, or `unknown`."""
    return f"{when:%B} {when.day}, {when.year}" if when else "unknown"


def format_time(when: datetime | None) -> str:
    """Return a time such as `2024-05-03 14:00 UTC`, or `unknown`."""
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else "unknown"


def odd_times(counts: LabelCounts) -> str:
    """Return how many posts have times that cannot be right, as a sentence; '' for none."""
    kinds = (
        (counts.later_posts, f"later than the newest run ({format_time(counts.until)})"),
        (counts.early_posts, f"from before {FIRST_CREDIBLE_YEAR}"),
    )
    parts = [
        f"{counted(posts, 'post has a time', 'posts have times')} {what}"
        for posts, what in kinds
        if posts
    ]
    return f"{listed(parts)}." if parts else ""


def format_days(first: date | None, last: date | None) -> str:
    """Return the time between two days, such as `between May 3, 2024 and May 4, 2024`."""
    if first and last and format_day(first) != format_day(last):
        return f"between {format_day(first)} and {format_day(last)}"
    return f"on {format_day(first)}"


def format_period(start: date, period: Period) -> str:
    """Return the name of a period that begins on a day."""
    return start.isoformat()[: _LENGTHS[period]]


def in_period(start: date, period: Period) -> str:
    """Return when something was, such as `on 2024-05-31` or `in 2024-05`."""
    preposition = {Period.DAY: "on", Period.WEEK: "in the week of"}.get(period, "in")
    return f"{preposition} {format_period(start, period)}"


def format_share(part: float, whole: float) -> str:
    """Return a share in percent, or a dash where there is no whole."""
    return f"{part / whole:.1%}" if whole else "–"


def format_value(value: float | None) -> str:
    """Return a number with four significant digits, or a dash where there is none."""
    if value is None:
        return "–"
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value or 0:.4g}"


def format_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval in brackets, or a dash where there is none."""
    return f"[{format_value(interval[0])}, {format_value(interval[1])}]" if interval else "–"


def shorten_name(name: str) -> str:
    """Return a name for a title, cut where it is too long."""
    plain = " ".join(name.split()) or "(empty)"
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[: _LONGEST_NAME - 1]}…"
