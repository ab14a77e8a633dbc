"""How long a service asks to wait, in each form in which services say it."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.retry_after import requested_wait_s

NOW = 1_800_000_000.0  # Friday, 15 January 2027, 08:00:00
LATER = "Fri, 15 Jan 2027 08:00:20 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": ".5"}, 0.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "7, 9"}, 9.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": LATER}, 20.0),
        ({"retry-after": "Friday, 15-Jan-27 08:00:20 GMT"}, 20.0),
        ({"retry-after": "Fri Jan 15 08:00:20 2027"}, 20.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:20 +0100"}, 20.0),
        # The service's clock is an hour behind ours, or ahead.
        ({"retry-after": LATER, "date": "Fri, 15 Jan 2027 08:00:15 GMT"}, 5.0),
        ({"retry-after": LATER, "date": "Fri, 15 Jan 2027 07:00:20 GMT"}, 3600.0),
        ({"retry-after": LATER, "date": "today"}, 20.0),
    ],
)
def test_a_time_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert requested_wait_s(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "0", "0.0", "-1", "+5", "²", "٣", "1e3", "7s", "soon", "nan", "inf", "7 9", ",", "1.2.3",
     "Fri, 15 Jan 2027 07:59:59 GMT", "Fri, 99 Jan 2027 08:00:20 GMT",
     "Fri, 15 Jan 99999 08:00:20 GMT", "2027-01-15T08:00:20Z"],
)  # fmt: skip
def test_a_time_that_makes_no_sense_or_is_over_is_none(value: str) -> None:
    assert requested_wait_s({"retry-after": value}, now=NOW) is None


def test_times_until_a_limit_is_whole_again_are_no_times_to_wait() -> None:
    headers = {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}
    assert requested_wait_s(headers, now=NOW) is None


@given(st.text(), st.text(), st.text())
def test_any_text_is_read_as_a_time_or_as_none(ms: str, after: str, date: str) -> None:
    headers = {"retry-after-ms": ms, "retry-after": after, "date": date}
    seconds = requested_wait_s(headers, now=NOW)
    assert seconds is None or seconds > 0


@given(st.integers(1, 10**7), st.integers(-(10**8), 10**8))
def test_a_date_counts_from_the_services_own_clock(seconds: int, skew: int) -> None:
    sent = int(NOW) + skew
    headers = {
        "retry-after": formatdate(sent + seconds, usegmt=True),
        "date": formatdate(sent, usegmt=True),
    }
    assert requested_wait_s(headers, now=NOW) == seconds
