"""A run that cannot end before its service does is announced, with what fits until then."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.planning.estimate import estimate_cost
from hpc.planning.service_end import ServiceEnd, describe_end, end_document, until_end
from pipeline.classifiers.frozen_classifier import service_end
from pipeline.usage import CostOptions
from tests.hpc.cli_bench import Bench
from tests.pipeline.classifiers.classifier_setup import frozen_options

ENDS_AT = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
NOON = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)
PER_MINUTE = st.integers(1, 100_000)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@pytest.mark.parametrize(("per_minute", "requests"), [(60, 2_635_140), (6_000, 263_514_000)])
def test_a_quota_allows_its_requests_in_each_whole_minute_that_is_left(
    per_minute: int, requests: int
) -> None:
    """From noon on 1 December: 30 days and 12 hours, less the last second, are 43,919 minutes."""
    options = CostOptions(requests_per_minute=per_minute)
    assert until_end(ENDS_AT, NOON, options) == ServiceEnd(
        ends_at=ENDS_AT, has_ended=False, requests=requests, posts=requests
    )


@given(MOMENTS, PER_MINUTE, st.integers(1, 20), st.integers(1, 5))
def test_what_fits_is_what_the_quota_can_still_answer(
    now: datetime, per_minute: int, together: int, questions: int
) -> None:
    options = CostOptions(
        requests_per_minute=per_minute, posts_per_request=together, questions=("?",) * questions
    )
    end = until_end(ENDS_AT, now, options)
    assert end is not None
    assert end.requests is not None
    assert now + timedelta(minutes=end.requests / per_minute) <= max(now, ENDS_AT)
    assert end.requests >= 0
    assert end.posts is not None
    assert estimate_cost(options, end.posts, None).requests in range(
        max(0, end.requests - questions + 1), end.requests + 1
    )
    assert end.has_ended == (now > ENDS_AT)
    elsewhere = now.astimezone(timezone(timedelta(hours=-6)))
    assert until_end(ENDS_AT, elsewhere, options) == end


def test_only_googles_own_service_has_an_announced_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "k")
    frozen = frozen_options({"type": "perspective"})
    assert service_end(frozen) == ENDS_AT
    assert service_end({**frozen, "base_url": "https://scores.example.org"}) is None
    assert service_end(frozen_options({"type": "valence"})) is None
    assert until_end(None, NOON, CostOptions(requests_per_minute=60)) is None


def test_nobody_knows_what_fits_without_a_quota() -> None:
    end = until_end(ENDS_AT, NOON, CostOptions())
    assert end == ServiceEnd(ends_at=ENDS_AT, has_ended=False, requests=None, posts=None)
    assert describe_end(end, 10**9) == ["the service ends on 2026-12-31 23:59:59 UTC"]


def test_the_end_is_described_and_a_run_that_is_too_long_is_a_warning() -> None:
    end = until_end(ENDS_AT, NOON, CostOptions(requests_per_minute=60))
    left = (
        "the service ends on 2026-12-31 23:59:59 UTC, and the quota allows 2,635,140 requests "
        "until then"
    )
    page = "see docs/how-to/before-31-december-2026.md"
    assert describe_end(end, 2_635_140) == [left]
    assert describe_end(end, 2_635_141) == [
        f"warning: {left}. 1 of these 2,635,141 posts cannot be labeled in time. A random "
        f"sample of at most 2,635,140 posts can: {page}"
    ]
    after = until_end(ENDS_AT, ENDS_AT + timedelta(seconds=1), CostOptions(requests_per_minute=60))
    assert describe_end(after, 5) == [
        "warning: the service ended on 2026-12-31 23:59:59 UTC, so its requests will fail: " + page
    ]
    assert describe_end(end, 0) == describe_end(None, 5) == []


def test_a_dry_run_shows_programs_the_end_of_its_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    bench.config(posts=3, classifier={"type": "perspective", "requests_per_minute": 60})
    before = until_end(ENDS_AT, datetime.now(UTC), CostOptions(requests_per_minute=60))
    document = bench.document("submit", "--config", bench.path, "--dry-run")
    after = until_end(ENDS_AT, datetime.now(UTC), CostOptions(requests_per_minute=60))
    shown = {name: document[name] for name in end_document(None)}
    assert shown["service_ends_at"] == "2026-12-31T23:59:59+00:00"
    assert before is not None
    assert after is not None
    assert (before.posts or 0) >= shown["posts_until_end"] == shown["requests_until_end"]
    assert shown["requests_until_end"] >= (after.posts or 0)
