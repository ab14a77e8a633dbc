"""`classifier.request` from the command line to the labels: another value is another setup."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cli_bench import ROOT, Bench, outcome
from tests.pipeline import run_builders
from tests.servers.bound import bound, mode_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

CIVIC = {"name": "civic", "type": "bool"}


def labels(body: dict[str, Any], nth: int) -> Reply:
    return completion('{"civic": true}') if mode_of(body) == "none" else bound(body)


@pytest.fixture
def server() -> Iterator[OpenAIStub]:
    with OpenAIStub(labels) as running:
        yield running


@pytest.fixture
def study(bench: Bench, server: OpenAIStub) -> Bench:
    (bench.folder / "prompt.txt").write_text("Is it civic?")
    bench.config(
        posts=3,
        classifier={"type": "llm", "base_url": server.base_url, "model": "m",
                    "prompt": "prompt.txt", "labels": [CIVIC], "structured_output": "none"},
        sharding={"shards": 1},
    )  # fmt: skip
    return bench


def test_a_field_of_the_command_line_reaches_the_server_and_the_manifest(
    study: Bench, server: OpenAIStub
) -> None:
    done = study.submit(
        "--set", "classifier.request.seed=7",
        "--set", "classifier.request.chat_template_kwargs.enable_thinking=false",
        "--set", "classifier.request.provider={order: [a, b]}",
    )  # fmt: skip
    assert outcome(done) == (0, "")
    fields = {"seed": 7, "chat_template_kwargs": {"enable_thinking": False},
              "provider": {"order": ["a", "b"]}}  # fmt: skip
    assert [{name: body[name] for name in fields} for body in server.bodies] == [fields] * 4
    (run,) = study.runs()
    assert json.loads((run / "manifest.json").read_text())["classifier"]["request"] == fields


def test_labels_of_another_request_need_another_name_or_supersede_the_old_ones(
    study: Bench, server: OpenAIStub
) -> None:
    assert study.submit().returncode == 0
    seeded = ("--set", "classifier.request.seed=7")
    rejected = study.submit(*seeded)
    assert rejected.returncode == 2
    assert "request" in rejected.stderr
    assert study.submit("--supersede", *seeded).returncode == 0
    assert server.requests == 8
    assert [body.get("seed") for body in server.bodies] == [None] * 4 + [7] * 4
    assert study.query("SELECT count(*) FROM labels_test") == [(3,)]
    assert study.query("SELECT count(*) FROM superseded_test") == [(3,)]
    for other in ("classifier.request.seed=8", "classifier.request.seed=7.0"):
        rejected = study.submit("--set", other)
        assert rejected.returncode == 2
        assert "request" in rejected.stderr


def test_a_submitted_run_keeps_its_request(study: Bench, tmp_path: Path) -> None:
    assert study.submit("--set", "classifier.request.seed=7").returncode == 0
    for override in ("classifier.request.seed=8", "classifier.request={}", "classifier.request.a=1",
                     "classifier.request=null"):  # fmt: skip
        rejected = study.hpc("resubmit", "--force", "--dry-run", "--set", override)
        assert rejected.returncode == 2, override
        assert "classifier.request" in rejected.stderr


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("classifier.request.when=2026-11-30", "classifier.request.when"),
        ("classifier.request.a=[{b: .nan}]", "classifier.request.a[0].b"),
        ("classifier.request.a=!!binary aGVsbG8=", "classifier.request.a"),
        ("classifier.request.a=!!set {x, y}", "classifier.request.a"),
        ("classifier.request.logit_bias={50256: -100}", "classifier.request.logit_bias"),
        ("classifier.request.think={no: 1}", "classifier.request.think"),
        ("classifier.request.model=m", "classifier.request.model"),
        ("classifier.request.stream=true", "classifier.request.stream"),
        ("classifier.request.a.b.api_key=x", "classifier.request.a.b.api_key"),
        ("classifier.request=7", "classifier.request"),
        ("classifier.request." + ".".join("a" * 20) + "=1", "classifier.request.a"),
    ],
)
def test_what_no_request_can_have_is_rejected_with_its_place(
    study: Bench, override: str, path: str
) -> None:
    rejected = study.submit("--set", override)
    assert rejected.returncode == 2
    assert f": {path}" in rejected.stderr
    assert study.runs() == []


def test_a_field_that_the_server_rejects_stops_the_run_at_once(study: Bench) -> None:
    def rejects(body: dict[str, Any], nth: int) -> Reply:
        message = "Unknown parameter: 'reasoning_effort'."
        problem = {"message": message, "param": "reasoning_effort", "code": "unknown_parameter"}
        return Reply(status=400, body={"error": problem})

    with OpenAIStub(rejects) as strict:
        done = study.submit(
            "--set", f"classifier.base_url={strict.base_url}",
            "--set", "classifier.request.reasoning_effort=low",
        )  # fmt: skip
    assert done.returncode == 1
    assert study.states() == [("blocked", "refused", 1)]
    assert "classifier.request.reasoning_effort" in study.hpc("status").stdout


def test_a_prompt_with_a_placeholder_is_rejected_before_anything_is_sent(
    study: Bench, server: OpenAIStub
) -> None:
    (study.folder / "prompt.txt").write_text('Answer with {"civic": true}.\nPost: {text}\n')
    assert study.submit("--dry-run").returncode == 2
    rejected = study.submit()
    assert rejected.returncode == 2
    assert "{text}" in rejected.stderr
    assert (server.requests, study.runs()) == (0, [])
    assert study.submit("--set", "classifier.allow_placeholders=true").returncode == 0
    assert "Post: {text}" in server.bodies[0]["messages"][0]["content"]


@pytest.mark.parametrize("name", ["llm", "llm_toxic", "llm_civic", "llm_constructive"])
def test_the_configurations_for_qwen3_turn_its_thinking_off(bench: Bench, name: str) -> None:
    """This server answers as Qwen3 does: it thinks unless the request says otherwise."""

    def thinks(body: dict[str, Any], nth: int) -> Reply:
        if body.get("chat_template_kwargs") == {"enable_thinking": False}:
            return bound(body) if mode_of(body) != "none" else completion("yes")
        return completion("", finish_reason="length")

    bench.backlog(run_builders.posts(3))
    with OpenAIStub(thinks) as server:
        done = bench.hpc(
            "submit",
            "--config", ROOT / "configs" / f"{name}.yaml",
            "--set", f"backlog={{source: {bench.folder}/posts.jsonl}}",
            "--set", f"classifier.base_url={server.base_url}",
            "--set", "cluster={executor: local, max_parallel: 1}",
        )  # fmt: skip
    assert outcome(done) == (0, "")
    table = "sociopolitical" if name == "llm" else name
    assert bench.query(f"SELECT count(*) FROM labels_{table} WHERE was_successfully_labeled") == [
        (3,)
    ]
