"""The time and the money that a run will take are estimated, as far as anybody can know."""

import json
from unittest.mock import ANY

import pytest

from hpc.planning.estimate import CostEstimate, describe_estimate, estimate_cost
from pipeline.model import JsonObject
from pipeline.usage import CACHED, COMPLETION, PROMPT, UsedTokens, cost_options
from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline.backlog.source_files import STAMP, json_lines_file
from tests.pipeline.run_builders import uri

PRICE = {"prompt": 10.0, "completion": 100.0, "cached": 5.0, "currency": "USD"}
PAID = UsedTokens(10, {PROMPT: 10_000, COMPLETION: 100, CACHED: 0})


@pytest.mark.parametrize(
    ("posts", "classifier", "requests", "minutes"),
    [
        (100_000, {"requests_per_minute": 60}, 100_000, 100_000 / 60),
        (41, {"requests_per_minute": 1, "posts_per_prompt": 20}, 3, 3.0),
        (1, {"requests_per_minute": 60}, 1, 1 / 60),
        (10, {"requests_per_minute": 70, "questions": [{"label": "a"}] * 7}, 70, 1.0),
    ],
)
def test_the_quota_decides_how_long_the_requests_take(
    posts: int, classifier: JsonObject, requests: int, minutes: float
) -> None:
    assert estimate_cost(cost_options(classifier), posts, None) == CostEstimate(
        requests=requests, requests_per_minute=classifier["requests_per_minute"], minutes=minutes
    )


@pytest.mark.parametrize(
    "classifier",
    [{}, {"requests_per_minute": None, "price": None}, {"price": PRICE}],
    ids=["no service", "neither quota nor price", "no posts with known tokens"],
)
def test_an_unknown_cost_is_not_mentioned(classifier: JsonObject) -> None:
    assert estimate_cost(cost_options(classifier), 100, None) == CostEstimate()
    assert describe_estimate(CostEstimate()) == []


def test_the_cost_follows_from_the_tokens_of_earlier_posts() -> None:
    assert estimate_cost(cost_options({"price": PRICE}), 1000, PAID) == CostEstimate(
        cost=pytest.approx(11.0), currency="USD", known_posts=10
    )


def test_a_dry_run_estimates_the_time_and_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    bench.config(posts=90, classifier={"type": "perspective", "requests_per_minute": 30})
    before = bench.listing()
    done = bench.hpc("submit", "--config", bench.path, "--dry-run", "--json")
    assert outcome(done)[0] == 0
    document = json.loads(done.stdout)
    assert document.pop("first_request")["clientToken"] == uri(0)
    assert document.pop("first_request_url").startswith("https://commentanalyzer.googleapis.com/")
    assert document.pop("service_ends_at") == "2026-12-31T23:59:59+00:00"
    assert document.pop("requests_until_end") == document.pop("posts_until_end")
    for key in ("checks", "columns", "script"):
        document.pop(key)
    assert document == {
        "run_id": None, "run_dir": None, "posts": 90, "shards": 2, "array_jobs": [],
        "dry_run": True, "waves": 1, "requests": 90, "quota_minutes": 3.0, "cost_estimate": None,
        "currency": None, "unlabelable_by_reason": {}, "late_posts": 0, "unread_rows": 0,
        "labeled": None, "unlabelable": None, "files": 1, "left_out": [], "future_posts": 0,
        "ancient_posts": 0, "distinct_texts": 90, "copies": 0, "requests_saved": 0, "sample": None,
        "canary": None, "measured": None, "minutes_estimate": None, "shard_size": None,
    }  # fmt: skip
    assert bench.listing() == before


def test_a_dry_run_estimates_how_long_a_sample_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    bench.config(posts=90, classifier={"type": "perspective", "requests_per_minute": 30})
    sample = ("--sample", 60, "--seed", 1)
    document = bench.document("submit", "--config", bench.path, *sample, "--dry-run")
    assert (document["requests"], document["quota_minutes"]) == (60, 2.0)


def test_posts_that_are_not_sent_take_nothing_of_the_quota(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    days = [f"day {number}" for number in range(30)]
    rows = [(uri(n), text, STAMP) for n, text in enumerate([None, None, "meh", *days])]
    json_lines_file(bench.folder / "posts.jsonl", rows)
    bench.config(classifier={"type": "perspective", "requests_per_minute": 30})
    document = bench.document("submit", "--config", bench.path, "--dry-run")
    assert document["posts"] == 33
    assert document["unlabelable_by_reason"] == {"no_text": 2, "text_too_short": 1}
    assert (document["requests"], document["quota_minutes"]) == (30, 1.0)
    assert bench.document("submit", "--config", bench.path, "--dry-run", "--limit", "3") == {
        **document,
        "posts": 3,
        "shards": 2,
        "distinct_texts": 0,
        "requests": 0,
        "quota_minutes": 0.0,
        "first_request": None,
        "first_request_url": None,
        "checks": ANY,
        "requests_until_end": ANY,
        "posts_until_end": ANY,
    }


def test_each_text_takes_one_request_of_the_quota(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "AIza")
    rows = [(uri(n), f"what a day {n % 10}", STAMP) for n in range(30)]
    json_lines_file(bench.folder / "posts.jsonl", rows)
    bench.config(classifier={"type": "perspective", "requests_per_minute": 30})
    submit = ("submit", "--config", bench.path, "--dry-run")
    counts = ("posts", "distinct_texts", "copies", "requests", "requests_saved")
    document = bench.document(*submit)
    assert [document[name] for name in counts] == [30, 10, 20, 10, 20]
    document = bench.document(*submit, "--set", "backlog.ask_each_text_once=false")
    assert [document[name] for name in counts] == [30, None, 0, 30, 0]
