"""The tokens of every row, with or without a label, as the server reports them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.model import JsonObject
from pipeline.run_files import heartbeat, manifest, output
from pipeline.run_files.manifest import config_hash, output_path, work_path
from tests.pipeline import run_builders, task_processes
from tests.pipeline.classifiers.classifier_setup import answers, frozen_options, posts
from tests.pipeline.classifiers.llm.fixed_sentence import labels_fixed_sentence
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error
from tests.waiting import wait_until

GOOD = '{"civic": true}'
USED = {"prompt_tokens": 100, "completion_tokens": 8, "total_tokens": 108}
CACHED = {**USED, "prompt_tokens_details": {"cached_tokens": 64}}
FACTS = {"llm_prompt_tokens": 100, "llm_completion_tokens": 8}
Answering = Callable[[dict[str, Any], int], Reply]


def frozen(server: OpenAIStub, folder: Path, **values: Any) -> JsonObject:
    (folder / "prompt.txt").write_text("You label posts.")
    values = {"type": "llm", "base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
             "labels": [{"name": "civic", "type": "bool"}], "structured_output": "none",
             **values}  # fmt: skip
    options: JsonObject = json.loads(json.dumps(frozen_options(values, folder)))
    return options


def facts(answer: Answering, folder: Path, **values: Any) -> tuple[Any, str | None, Any]:
    """Return the values, the reason and the facts of one post's answer."""
    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        asker = create(frozen(server, folder, **values), TaskShare())
        found = answers(asker, posts("a post"))["a post"]
    return found.values and found.values["civic"], found.reason, dict(found.facts)


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        (USED, FACTS),
        (CACHED, {**FACTS, "llm_cached_tokens": 64}),
        (None, {}),
        ({}, {}),
        ({"prompt_tokens": "100", "completion_tokens": -8}, {}),
        ({"prompt_tokens": 10**30, "completion_tokens": 8}, {"llm_completion_tokens": 8}),
    ],
)
def test_a_label_has_its_tokens(tmp_path: Path, usage: Any, meant: dict[str, int]) -> None:
    answer = facts(lambda body, nth: completion(GOOD, usage=usage), tmp_path)
    assert answer == (True, None, meant)


def test_the_tokens_of_a_retry_are_added(tmp_path: Path) -> None:
    def third_time(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD if nth == 3 else "no idea", usage=USED)

    assert facts(third_time, tmp_path) == (
        True, None, {"llm_prompt_tokens": 300, "llm_completion_tokens": 24},
    )  # fmt: skip


def test_one_attempt_without_usage_makes_the_sum_unknown(tmp_path: Path) -> None:
    def second_time(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD, usage=USED) if nth == 2 else completion("no idea")

    assert facts(second_time, tmp_path) == (True, None, {})


def test_a_post_without_a_label_has_its_tokens_too(tmp_path: Path) -> None:
    value, reason, cost = facts(lambda body, nth: completion("no idea", usage=USED), tmp_path)
    assert (value, reason) == (None, "invalid_answer: not JSON: 'no idea'")
    assert cost == {"llm_prompt_tokens": 300, "llm_completion_tokens": 24}
    cut = facts(lambda body, nth: completion("{", finish_reason="length", usage=USED), tmp_path)
    assert cut == (None, "answer_cut_at_max_tokens", FACTS)


def test_an_http_error_adds_no_tokens(tmp_path: Path) -> None:
    too_long = Reply(status=400, body=error("too long", "context_length_exceeded"))
    assert facts(lambda body, nth: too_long, tmp_path) == (None, "context_length_exceeded", {})

    def then_an_error(body: dict[str, Any], nth: int) -> Reply:
        return completion("no idea", usage=USED) if nth == 1 else too_long

    assert facts(then_an_error, tmp_path) == (None, "context_length_exceeded", FACTS)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(2, 20),
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 999)), min_size=40, max_size=40),
)
def test_posts_of_one_prompt_share_the_reported_tokens_exactly(
    tmp_path: Path, at_once: int, spoilt: list[bool], costs: list[tuple[int, int]]
) -> None:
    """A post that is sent again alone pays for that by itself."""
    reported: list[tuple[int, int]] = []
    texts = [f"post {nth} {'bad' if bad else 'good'}" for nth, bad in enumerate(spoilt)]

    def answer(body: dict[str, Any], nth: int) -> Reply:
        asked = json.loads(body["messages"][1]["content"])
        cost = costs[nth - 1]
        reported.append(cost)
        answer: Any = {"civic": True}
        if "posts" in asked:
            answer = {
                post["id"]: answer for post in asked["posts"] if post["post"].endswith("good")
            }
        usage = {"prompt_tokens": cost[0], "completion_tokens": cost[1]}
        return completion(json.dumps(answer), usage=usage)

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        asker = create(frozen(server, tmp_path, posts_per_prompt=at_once), TaskShare())
        found = answers(asker, posts(*texts))
    assert [len(answer.facts) for answer in found.values()] == [2] * len(texts)
    for which, name in enumerate(("llm_prompt_tokens", "llm_completion_tokens")):
        assert sum(cost[which] for cost in reported) == sum(
            count for answer in found.values() if isinstance(count := answer.facts[name], int)
        )


def test_a_price_changes_no_label(tmp_path: Path) -> None:
    with OpenAIStub(lambda body, nth: completion(GOOD)) as server:
        free = frozen(server, tmp_path)
        paid = frozen(server, tmp_path, price={"prompt": 1, "completion": 2})
    assert paid["price"] == {"prompt": 1.0, "completion": 2.0, "cached": 1.0, "currency": "USD"}
    hashes = {config_hash(frozen_classifier.what_decides(options), 5) for options in (free, paid)}
    assert len(hashes) == 1


def test_a_resumed_task_counts_the_tokens_of_the_attempt_before(
    tmp_path: Path,
) -> None:
    """Its heartbeat shows them while it runs, and the output's footer in the end."""
    rows = run_builders.posts(12)

    def answer(body: dict[str, Any], nth: int) -> Reply:
        # The first life gets nothing beyond its eighth answer.
        return completion(GOOD, usage=CACHED) if nth != 9 else Reply(cut=True)

    with OpenAIStub(labels_fixed_sentence(GOOD, answer)) as server:
        options = frozen(server, tmp_path, max_in_flight=1)
        run_dir, run = run_builders.make_run(
            tmp_path, rows, classifier=options, name="llm", checkpoint_rows=3
        )
        work = work_path(run_dir, 0)
        program = (
            "import functools, sys; from pipeline.run_files import heartbeat; "
            "from pipeline.service import service; from pipeline.worker import process as worker; "
            "from pipeline.classifiers.llm import chat_service; "
            "chat_service.RequestPolicy = functools.partial("
            "service.RequestPolicy, first_wait_s=3600, longest_wait_s=3600); "
            "heartbeat.HEARTBEAT_SECONDS = 0.1; "
        )
        task = task_processes.start(run_builders.order(run_dir), program=program)

        def eight() -> bool:
            beat = heartbeat.read(work, 1)
            return beat is not None and beat.rows == 8

        wait_until(eight, task=task)
        beat = heartbeat.read(work, 1)
        assert beat is not None
        assert beat.counts == {
            "llm_prompt_tokens": 800, "llm_completion_tokens": 64, "llm_cached_tokens": 512,
        }  # fmt: skip
        assert set(beat.counts_per_minute) == set(beat.counts)
        task_processes.kill(task)
        code, _, err = task_processes.run_forked(run_builders.order(run_dir, attempt=2))
        assert (code, err) == (0, "")
        assert server.requests > 12
    table = pq.read_table(output_path(run_dir, 0), partitioning=None)
    assert table["llm_prompt_tokens"].to_pylist() == [100] * 12
    assert table["llm_cached_tokens"].to_pylist() == [64] * 12
    assert output.verify(run_dir, run, 0).counts == {
        "llm_prompt_tokens": 1200, "llm_completion_tokens": 96, "llm_cached_tokens": 768,
    }  # fmt: skip
    assert manifest.read(run_dir).classifier["price"] is None
