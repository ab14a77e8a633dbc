"""What a run has cost, as values and as a line, for made-up shards."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.display.run.usage import Usage, describe_usage, usage_of
from hpc.run.model.shards import ShardFacts
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.output import OutputCheck
from pipeline.usage import Price

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PRICE = Price(prompt=0.15, completion=0.6, cached=0.075)


def tokens(prompt: int, completion: int, cached: int | None = None) -> dict[str, int]:
    counts = {"llm_prompt_tokens": prompt, "llm_completion_tokens": completion}
    return counts if cached is None else {**counts, "llm_cached_tokens": cached}


def beat(rows: int, counts: dict[str, int], **per_minute: float) -> Heartbeat:
    rates = {f"llm_{kind}_tokens": rate for kind, rate in per_minute.items()}
    return Heartbeat(
        written_at=NOW, progress_at=NOW, rows=rows, posts=1000, rate_per_minute=1.0, last_error="",
        node="n1", counts=counts, counts_per_minute=rates,
    )  # fmt: skip


def shard(index: int, **facts: Any) -> ShardFacts:
    return ShardFacts(index=index, posts=1000, **{"output": OutputCheck(), **facts})


def done(index: int, counts: dict[str, int]) -> ShardFacts:
    return shard(index, output=OutputCheck(publication="p", counts=counts))


def test_published_running_and_waiting_shards_are_summed() -> None:
    shards = [
        done(0, tokens(1_000_000, 40_000)),
        shard(1, rows=500, heartbeat=beat(500, tokens(200_000, 10_000), prompt=90_000,
                                          completion=6_000, cached=60_000)),
        shard(2, rows=100, heartbeat=beat(100, tokens(30_000, 6_000), prompt=96_600.0)),
        shard(3, rows=100, left_behind=beat(110, tokens(4_567, 789))),
        shard(4),
    ]  # fmt: skip
    assert usage_of(shards, posts=5000, price=PRICE) == Usage(
        prompt_tokens=1_234_567,
        cached_tokens=None,
        completion_tokens=56_789,
        tokens_per_second=(90_000 + 6_000 + 96_600) / 60,
        cost=pytest.approx(1.234567 * 0.15 + 0.056789 * 0.6),
        cost_estimate=pytest.approx((1.234567 * 0.15 + 0.056789 * 0.6) / 1710 * 5000),
        currency="USD",
    )


def test_a_shard_is_counted_once_whatever_reports_on_it() -> None:
    """The heartbeat of a task that has published goes away a little later."""
    running = beat(900, tokens(90, 9), prompt=6000)
    one = shard(0, output=OutputCheck(publication="p", counts=tokens(100, 10)),
                heartbeat=running, left_behind=running)  # fmt: skip
    assert usage_of([one], posts=1000, price=None) == Usage(
        prompt_tokens=100, cached_tokens=None, completion_tokens=10, tokens_per_second=None,
        cost=None, cost_estimate=None, currency=None,
    )  # fmt: skip


def test_cached_tokens_are_billed_at_their_own_price() -> None:
    used = usage_of([done(0, tokens(1_000_000, 0, cached=400_000))], posts=1000, price=PRICE)
    assert used is not None
    assert (used.cached_tokens, used.cost) == (400_000, pytest.approx(0.6 * 0.15 + 0.4 * 0.075))
    assert used.cost_estimate == pytest.approx(used.cost)


def test_usage_is_unknown_where_no_answer_reports_it() -> None:
    silent = shard(1, heartbeat=beat(10, {}))
    assert usage_of([done(0, {}), silent, shard(2)], posts=3000, price=PRICE) is None
    half = usage_of([done(0, {"llm_prompt_tokens": 7}), silent], posts=2000, price=PRICE)
    assert half == Usage(
        prompt_tokens=7, cached_tokens=None, completion_tokens=None, tokens_per_second=None,
        cost=None, cost_estimate=None, currency="USD",
    )  # fmt: skip


def test_requests_are_summed_and_other_counts_are_not_described() -> None:
    asked = usage_of([done(0, {"moderation_requests": 3}), done(1, {"moderation_requests": 4})],
                     posts=2000, price=None)  # fmt: skip
    other = usage_of([done(0, {"words": 3})], posts=1000, price=None)
    assert asked is not None and other is not None
    assert (asked.requests, other.requests) == (7, None)
    assert describe_usage(asked, complete=True) == "7 requests"
    assert describe_usage(other, complete=True) == ""


def test_the_estimate_is_based_on_answers_that_report_their_cost() -> None:
    """An output of before that was counted says nothing: its posts are not taken for free."""
    shards = [done(0, {}), done(1, tokens(1_000_000, 0)), shard(2)]
    used = usage_of(shards, posts=3000, price=PRICE)
    assert used is not None
    assert (used.cost, used.cost_estimate) == (pytest.approx(0.15), pytest.approx(0.45))


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1),
    st.integers(0, 10**9),
)
def test_the_estimate_is_never_below_what_is_spent(
    counts: list[tuple[int, int]], more: int
) -> None:
    shards = [done(at, tokens(*each)) for at, each in enumerate(counts)]
    used = usage_of(shards, posts=1000 * len(shards) + more, price=PRICE)
    assert used is not None and used.cost is not None and used.cost_estimate is not None
    assert used.cost_estimate >= used.cost * (1 - 1e-9)


@pytest.mark.parametrize(
    ("values", "complete", "line"),
    [
        ({}, False, "1,234,567 prompt and 56,789 completion tokens, 3,210 tokens/s, "
                    "$1.23 so far, about $4.56 in all"),
        ({"tokens_per_second": None}, True, "1,234,567 prompt and 56,789 completion tokens, $1.23"),
        ({"tokens_per_second": 0.0, "cost": None, "cost_estimate": None, "currency": None}, False,
         "1,234,567 prompt and 56,789 completion tokens"),
        ({"cost": 1234.5, "cost_estimate": 98765.4, "currency": "EUR"}, False,
         "1,234,567 prompt and 56,789 completion tokens, 3,210 tokens/s, "
         "1,234.50 EUR so far, about 98,765.40 EUR in all"),
        ({"cost": 0.00423, "cost_estimate": 0.0123}, False,
         "1,234,567 prompt and 56,789 completion tokens, 3,210 tokens/s, "
         "$0.0042 so far, about $0.01 in all"),
        ({"cost": 0.0, "cost_estimate": 0.0}, False,
         "1,234,567 prompt and 56,789 completion tokens, 3,210 tokens/s, "
         "$0.00 so far, about $0.00 in all"),
        ({"completion_tokens": None, "cost": None, "cost_estimate": None}, False,
         "1,234,567 prompt tokens, 3,210 tokens/s"),
    ],
)  # fmt: skip
def test_usage_is_described_in_one_line(values: dict[str, Any], complete: bool, line: str) -> None:
    used = Usage(**{
        "prompt_tokens": 1_234_567, "cached_tokens": 5, "completion_tokens": 56_789,
        "tokens_per_second": 3210.4, "cost": 1.23, "cost_estimate": 4.56, "currency": "USD",
        **values,
    })  # fmt: skip
    assert describe_usage(used, complete=complete) == line
