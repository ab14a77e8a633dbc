"""What a reply says it used, and what a token costs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import usage
from pipeline.config.section import Section
from pipeline.errors import InputError
from pipeline.model import KIND_TYPES, ColumnKind

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
def test_what_is_no_count_is_unknown_and_never_nothing(said: Any, meant: dict[str, int]) -> None:
    assert usage.used(said) == meant


def summed(*bodies: Any) -> dict[str, int]:
    return usage.summed(map(usage.used, bodies))


def test_an_answers_tokens_are_those_of_all_replies_that_it_took() -> None:
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
def test_what_posts_of_one_prompt_used_is_shared_out_to_the_last_token(
    used: dict[str, int], posts: int
) -> None:
    shares = [usage.share(used, posts=posts, nth=nth) for nth in range(posts)]
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
    shares = [usage.share(whole, posts=posts, nth=nth) for nth in range(posts)]
    assert all(share[CACHED] <= share[PROMPT] for share in shares)


def price(values: Any) -> Any:
    section = Section(
        {"price": values}, path="classifier", source="run.yaml", folders=(Path(),)
    )  # fmt: skip
    return usage.freeze_price(section)


def test_a_price_is_money_for_a_million_tokens() -> None:
    assert price(None) is None
    assert price({"prompt": 0.15, "completion": 0.6}) == {
        "prompt": 0.15, "completion": 0.6, "cached": 0.15, "currency": "USD",
    }  # fmt: skip
    assert price({"prompt": 2, "completion": 8, "cached": 0, "currency": "eur"}) == {
        "prompt": 2.0, "completion": 8.0, "cached": 0.0, "currency": "EUR",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prompt": 1}, "price.completion: is missing"),
        ({"prompt": -1, "completion": 1}, "price.prompt: should be 0 or more, not -1.0"),
        ({"prompt": 1, "completion": float("inf")},
         "price.completion: should be a number, not inf"),
        ({"prompt": "1", "completion": 1}, "price.prompt: should be a number, not '1'"),
        ({"prompt": 1, "completion": 1, "cached": -0.5},
         "price.cached: should be 0 or more, not -0.5"),
        ({"prompt": 1, "completion": 1, "currency": "$"},
         "price.currency: should be three letters, not '$'"),
        ({"prompt": 1, "completion": 1, "output": 1},
         "price.output: is not a key that anything reads"),
        (0.15, "price: should be a mapping of keys, not 0.15"),
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_meant_is_refused(values: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        price(values)
    assert str(refused.value) == f"run.yaml: classifier.{said}"
