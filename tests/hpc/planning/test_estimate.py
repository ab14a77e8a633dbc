"""What a run will take, told before it begins, as far as anybody can know."""

import json

import pytest

from hpc.planning import estimate
from hpc.planning.estimate import CostEstimate
from pipeline.model import JsonObject
from pipeline.usage import CACHED, COMPLETION, PROMPT, UsedTokens, cost_options
from tests.hpc.cli_bench import Bench, said
from tests.hpc.conftest import Here

PRICE = {"prompt": 10.0, "completion": 100.0, "cached": 5.0, "currency": "USD"}
PAID = UsedTokens(10, {PROMPT: 10_000, COMPLETION: 100, CACHED: 0})


@pytest.mark.parametrize(
    ("posts", "classifier", "said"),
    [
        (100_000, {"requests_per_minute": 60}, "at 60 requests a minute, the quota gives "
         "100,000 requests in about 28 h, if nothing else uses it"),
        (50_000_000, {"requests_per_minute": 60}, "at 60 requests a minute, the quota gives "
         "50,000,000 requests in about 579 days, if nothing else uses it"),
        (95 * 3600, {"requests_per_minute": 60}, "at 60 requests a minute, the quota gives "
         "342,000 requests in about 4 days, if nothing else uses it"),
        (41, {"requests_per_minute": 1, "posts_per_prompt": 20}, "at 1 request a minute, the quota "
         "gives 3 requests in about 3 min, if nothing else uses it"),
        (1, {"requests_per_minute": 60}, "at 60 requests a minute, the quota gives "
         "1 request in less than a minute, if nothing else uses it"),
    ],
)  # fmt: skip
def test_the_time_that_the_quota_needs(posts: int, classifier: JsonObject, said: str) -> None:
    assert estimate.describe_estimate(
        estimate.estimate_cost(cost_options(classifier), posts, None)
    ) == [said]


@pytest.mark.parametrize(
    "classifier",
    [{}, {"requests_per_minute": None, "price": None}, {"price": PRICE}],
    ids=["no service", "neither", "nobody has told"],
)
def test_of_what_is_not_known_nothing_is_said(classifier: JsonObject) -> None:
    assert estimate.estimate_cost(cost_options(classifier), 100, None) == CostEstimate()
    assert estimate.describe_estimate(CostEstimate()) == []


def test_the_cost_is_that_of_posts_that_were_paid_for() -> None:
    told = estimate.estimate_cost(cost_options({"price": PRICE}), 1000, PAID)
    assert told == CostEstimate(cost=pytest.approx(11.0), currency="USD", known_posts=10)
    assert estimate.describe_estimate(told) == [
        "about $11.00, at the tokens that 10 posts of this configuration took before"
    ]


def test_a_dry_run_says_that_it_is_one_and_how_long_the_quota_needs(
    bench: Bench, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    bench.config(posts=90, classifier={"type": "perspective", "requests_per_minute": 30})
    before = bench.listing()
    done = here("submit", "--config", bench.path, "--dry-run")
    assert said(done) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "dry run: nothing is submitted, nothing is written"
    assert lines[-1] == (
        "at 30 requests a minute, the quota gives 90 requests in about 3 min, "
        "if nothing else uses it"
    )
    document = json.loads(here("submit", "--config", bench.path, "--dry-run", "--json").stdout)
    assert document == {
        "run_id": None, "run_dir": None, "posts": 90, "shards": 2, "array_jobs": [],
        "dry_run": True, "requests": 90, "quota_minutes": 3.0, "cost_estimate": None,
        "currency": None,
    }  # fmt: skip
    assert bench.listing() == before
