"""The tokens that a reply reports, and the price of a token."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import usage
from pipeline.model import KIND_TYPES, ColumnKind
from pipeline.usage import CostOptions, Price

PROMPT, COMPLETION, CACHED = "llm_prompt_tokens", "llm_completion_tokens", "llm_cached_tokens"
COUNTS = st.integers(0, 100_000_000)


def body(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (body(120, 7, total_tokens=127), {PROMPT: 120, COMPLETION: 7}),
        (body(0, 0), {PROMPT: 0, COMPLETION: 0}),
        (
            body(120, 7, prompt_tokens_details={"cached_tokens": 64, "audio_tokens": 0}),
            {PROMPT: 120, COMPLETION: 7, CACHED: 64},
        ),
        (
            body(120, 7, prompt_tokens_details={"cached_tokens": 120}),
            {PROMPT: 120, COMPLETION: 7, CACHED: 120},
        ),
        # More cached than there are: no count of these.
        (
            body(120, 7, prompt_tokens_details={"cached_tokens": 121}),
            {PROMPT: 120, COMPLETION: 7},
        ),
        (body(None, 7, prompt_tokens_details={"cached_tokens": 1}), {COMPLETION: 7}),
        # vLLM without --enable-prompt-tokens-details
        (body(120, 7, prompt_tokens_details=None), {PROMPT: 120, COMPLETION: 7}),
        (body(120, None), {PROMPT: 120}),
        (body("120", 7.0), {}),
        (body(-1, True), {}),
        (body(100_000_000, 100_000_001), {PROMPT: 100_000_000}),
        (body(10**400, float("inf")), {}),
        ({"usage": None}, {}),
        ({"usage": [120, 7]}, {}),
        ({}, {}),
        (None, {}),
        ("120", {}),
    ],
)
def test_a_value_that_is_not_a_count_is_unknown_and_never_0(
    said: Any, meant: dict[str, int]
) -> None:
    assert usage.reply_tokens(said) == meant


def summed(*bodies: Any) -> dict[str, int]:
    return usage.sum_tokens(map(usage.reply_tokens, bodies))


def test_an_answers_tokens_are_those_of_all_its_replies() -> None:
    cached = {"cached_tokens": 64}
    assert summed(body(120, 7), body(121, 9)) == {PROMPT: 241, COMPLETION: 16}
    assert summed(body(120, 7, prompt_tokens_details=cached)) == {
        PROMPT: 120, COMPLETION: 7, CACHED: 64,
    }  # fmt: skip
    # A part that is not known makes the sum unknown, and there need not have been any reply.
    assert summed(body(120, 7, prompt_tokens_details=cached), body(120, None)) == {PROMPT: 240}
    assert summed(body(120, 7), {}) == {}
    assert summed() == {}


def test_a_sum_that_no_column_holds_is_unknown() -> None:
    most = body(100_000_000, 1)
    assert summed(*[most] * 42) == {PROMPT: 4_200_000_000, COMPLETION: 42}
    assert summed(*[most] * 43) == {COMPLETION: 43}
    assert 4_200_000_000 <= (int(KIND_TYPES[ColumnKind.COUNT].limit) - 1) < 4_300_000_000


@given(st.dictionaries(st.sampled_from([PROMPT, COMPLETION, CACHED]), COUNTS), st.integers(1, 40))
def test_the_tokens_of_a_prompt_are_shared_by_its_posts_to_the_last_token(
    used: dict[str, int], posts: int
) -> None:
    shares = [usage.share_of_tokens(used, posts=posts, nth=nth) for nth in range(posts)]
    assert {name: sum(share[name] for share in shares) for name in used} == used
    for name in used:
        each = [share[name] for share in shares]
        assert each == sorted(each, reverse=True)
        assert max(each) - min(each) <= 1


@given(COUNTS, st.integers(1, 40), st.data())
def test_no_post_has_a_larger_share_of_the_cached_tokens_than_of_the_prompt(
    prompt: int, posts: int, data: st.DataObject
) -> None:
    cached = data.draw(st.integers(0, prompt))
    whole = {PROMPT: prompt, CACHED: cached}
    shares = [usage.share_of_tokens(whole, posts=posts, nth=nth) for nth in range(posts)]
    assert all(share[CACHED] <= share[PROMPT] for share in shares)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"prompt": 0.15, "completion": 0.6},
            Price(prompt=0.15, completion=0.6, cached=0.15, currency="USD"),
        ),
        (
            {"prompt": 2, "completion": 8, "cached": 0, "currency": "eur"},
            Price(prompt=2.0, completion=8.0, cached=0.0, currency="EUR"),
        ),
    ],
)
def test_a_price_is_money_for_a_million_tokens(values: dict[str, Any], expected: Price) -> None:
    assert msgspec.convert(values, Price) == expected


def test_options_of_any_classifier_can_state_the_cost_of_its_requests() -> None:
    ours = {"type": "llm", "price": {"prompt": 1, "completion": 2}, "requests_per_minute": 60}
    assert usage.cost_options(ours) == CostOptions(
        price=Price(prompt=1.0, completion=2.0), requests_per_minute=60, posts_per_prompt=1
    )
    assert usage.cost_options({"type": "theirs", "price": "cheap"}) == CostOptions()
