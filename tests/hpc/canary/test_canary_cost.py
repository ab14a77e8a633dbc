"""What a canary of a priced LLM says: tokens and money per post, and for all others."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hpc.cli_bench import Bench
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

USED = {"prompt_tokens": 1000, "completion_tokens": 10}
PRICE = {"prompt": 10.0, "completion": 100.0, "currency": "USD"}
COST = (1000 * 10 + 10 * 100) / 1e6  # of one answer


def reply(body: dict[str, Any], nth: int) -> Reply:
    text = json.loads(body["messages"][1]["content"])["post"]
    return completion(json.dumps({"even": text[-1] in "02468"}), usage=USED)


@pytest.fixture
def server() -> Iterator[OpenAIStub]:
    with OpenAIStub(reply) as running:
        yield running


@pytest.fixture
def llm(bench: Bench, server: OpenAIStub) -> Bench:
    (bench.folder / "prompt.txt").write_text("Is the number even?")
    bench.config(
        60,
        sharding={"shards": None, "target_minutes": 1},
        cluster={"max_parallel": 3},
        classifier={
            "type": "llm", "base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
            "labels": [{"name": "even", "type": "bool"}], "structured_output": "none",
            "price": PRICE, "requests_per_minute": 6000,
        },
    )  # fmt: skip
    return bench


def test_tokens_and_cost_of_the_others_follow_from_the_canary(
    llm: Bench, server: OpenAIStub
) -> None:
    shown = llm.document("submit", "--config", llm.path, "--canary", 10)
    canary = shown["canary"]
    assert (canary["tokens"], canary["cost"]) == (10_100, pytest.approx(10 * COST))
    assert canary["rest"]["cost"] == pytest.approx(50 * COST)
    assert canary["rest"]["minutes"] > 0
    sent = server.requests
    again = llm.hpc("submit", "--config", llm.path, "--canary", 10).stdout
    facts = [" ".join(line.split()) for line in again.splitlines() if line.startswith("  ")]
    assert "tokens 1,010 per post, 10,100 in all" in facts
    assert "cost $11.00 per 1,000 posts, $0.11 in all" in facts
    assert "cost about $0.55" in facts
    assert server.requests == sent


def test_a_quota_alone_sizes_shards(llm: Bench) -> None:
    shown = llm.document(
        "submit", "--config", llm.path, "--dry-run", "--set", "classifier.requests_per_minute=30"
    )
    assert shown["shard_size"] == {"rows": 10, "basis": "quota", "bound": "none", "minutes": 1.0}
    assert shown["shards"] == 6
