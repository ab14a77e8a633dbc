"""Read how long a service asks to wait before a request is sent again.

The headers `x-ratelimit-reset-…` are not read. They say when a limit is as large again as at first,
which is long after the next request may be sent.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def requested_wait_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return for how many seconds the service asks to wait.

    Args:
        headers: those of the response; the case of their names must not matter.
        now: the time in seconds since 1970, for a date in a response that does not say when it was
            sent. By default, this machine's clock.

    Returns:
        The time, more than 0; None where it names none, or one that makes no sense.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds or None
    until = _date(value)
    if until is None:
        return None
    # By the service's own clock, which may differ from ours.
    sent = _date(headers.get("date", ""))
    if sent is None:
        sent = time.time() if now is None else now
    return until - sent if until > sent else None


def _number(text: str) -> float | None:
    """Return the largest of one or more numbers: a proxy joins two headers of a name by a comma."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return max(map(float, parts))


def _date(text: str) -> float | None:
    """Return the seconds since 1970 of a date in one of the three forms of HTTP."""
    try:
        moment = parsedate_to_datetime(text)
        # The oldest form names no zone: HTTP's dates are in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
