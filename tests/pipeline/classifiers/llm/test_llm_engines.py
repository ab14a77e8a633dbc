"""The LLM classifier against the engines of real clusters, with random weights on a CPU: what is
taken for granted of each of them, and was not read in its documentation alone."""

import json
import math
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.classifiers.llm import chat
from pipeline.classifiers.llm.output_modes import ProbeRequest, probe_server
from pipeline.errors import Cause, TaskError
from pipeline.model import JsonObject
from pipeline.run_files import manifest, output
from pipeline.service.http_reply import Reply
from pipeline.system import processes as proc
from tests.pipeline import run_builders, task_processes
from tests.pipeline.classifiers.classifier_setup import answers, labels_of, posts
from tests.pipeline.classifiers.llm import labeled
from tests.pipeline.classifiers.llm.labeled import (
    LABELS,
    TEXTS,
    TOO_LONG,
    assert_labeled,
    note_of,
)
from tests.pipeline.classifiers.llm.server import started_servers
from tests.servers import engines, gguf_model, tiny_llm
from tests.servers.real_server import RealServer
from tests.waiting import wait_until

pytestmark = pytest.mark.engines

# llama.cpp's grammar lets a model write 20 blanks wherever one may be, and random weights do.
MAX_TOKENS = 250
# More than a tiny model has tokens: llama-server lists them all, vLLM permits 20.
EVERY_TOKEN = 400


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm.write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def vllm(tiny_model: Path) -> Iterator[RealServer]:
    with engines.vllm(tiny_model, "--enable-prompt-tokens-details") as running:
        yield running


@pytest.fixture(scope="module")
def transformers_serve(tiny_model: Path) -> Iterator[RealServer]:
    with engines.transformers_serve(tiny_model) as running:
        yield running


@pytest.fixture(scope="module")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    file = gguf_model.write_model(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    with engines.llama_server(file) as running:
        yield running


@pytest.fixture(params=["vllm", "llama_server"])
def binding(request: pytest.FixtureRequest) -> RealServer:
    """Return each engine that enforces a schema, in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, RealServer)
    return found


def options(server: RealServer | None, folder: Path, /, **values: Any) -> JsonObject:
    return labeled.options(server, folder, **{"max_tokens": MAX_TOKENS, **values})


def test_every_post_has_valid_labels_or_a_reason(binding: RealServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    asker = create(options(binding, tmp_path), TaskShare(notes=notes))
    found = answers(asker, posts(TOO_LONG, *TEXTS))
    too_long = found.pop(TOO_LONG)
    assert (too_long.values, too_long.reason) == (None, "context_length_exceeded")
    assert_labeled(found)
    assert note_of(notes)["mode"] == "json_schema"
    assert note_of(notes)["said"] == {"json_schema": "honoured"}


def test_vllms_own_mode_labels_every_post(vllm: RealServer, tmp_path: Path) -> None:
    asker = create(options(vllm, tmp_path, structured_output="structured_outputs"), TaskShare())
    assert_labeled(answers(asker, posts(*TEXTS)))


def test_vllms_own_mode_is_detected_if_it_is_the_only_one(vllm: RealServer) -> None:
    """Some gateways drop `response_format`. vLLM's json_object knows no schema."""
    request = ProbeRequest(
        server="vllm", model="tiny", mode="auto", top_logprobs=0, declared=labels_of(LABELS)
    )

    def ask(fields: JsonObject) -> Reply:
        kept = {} if fields.get("response_format", {}).get("type") == "json_schema" else fields
        body = chat.request(model="tiny", system="", user={}, temperature=0, max_tokens=150)
        response = requests.post(f"{vllm.base_url}/chat/completions", json=body | kept, timeout=60)
        return Reply(status=response.status_code, body=response.json(), summary="")

    detected = probe_server(request, ask)
    assert detected.mode == "structured_outputs"
    assert detected.findings.pop("structured_outputs") == "honoured"
    assert set(detected.findings) == {"json_schema", "json_object"}


def test_without_constraints_random_weights_end_the_run_before_the_first_post(
    binding: RealServer, tmp_path: Path
) -> None:
    unbound = options(binding, tmp_path, structured_output="none", answer_tries=2)
    with pytest.raises(TaskError) as raised:
        list(create(unbound, TaskShare()).classify(posts(*TEXTS)))
    assert raised.value.cause is Cause.REFUSED


def test_transformers_serve_is_detected_to_enforce_nothing(
    transformers_serve: RealServer, tiny_model: Path
) -> None:
    """It answers 200 to what it ignores and 422 to what it does not know, without logprobs."""
    model = str(tiny_model)
    request = ProbeRequest(
        server="transformers", model=model, mode="auto", top_logprobs=20,
        declared=labels_of(LABELS),
    )  # fmt: skip

    def ask(fields: JsonObject) -> Reply:
        body = chat.request(model=model, system="", user={}, temperature=0, max_tokens=50)
        url = f"{transformers_serve.base_url}/chat/completions"
        response = requests.post(url, json=body | fields, timeout=60)
        status = response.status_code
        return Reply(status=status, body=response.json(), summary=f"HTTP {status}: ")

    detected = probe_server(request, ask)
    assert (detected.mode, detected.top_logprobs) == ("none", 0)
    assert detected.findings["structured_outputs"].startswith("HTTP 422: ")
    assert detected.findings["top_logprobs 20"] == "ignored: none in the reply"


def test_probabilities_match_the_servers_own_tokens(binding: RealServer, tmp_path: Path) -> None:
    """One token a letter: a bool's share is that of its first one. vLLM's are after the grammar's
    mask, llama-server's before it; the shares of what lies on labels are the same thing."""
    asker = create(
        options(binding, tmp_path, scores=True, top_logprobs=EVERY_TOKEN, keep_raw=True),
        TaskShare(),
    )
    for answer in answers(asker, posts(*TEXTS[:5])).values():
        assert answer.values is not None
        tokens = json.loads(str(answer.raw))["choices"][0]["logprobs"]["content"]
        # Not in the answer's text: llama-server leaves out what it said before the object.
        said = "".join(token["token"] for token in tokens)
        value = re.search(r'"is_sociopolitical"\s*:\s*(true|false)', said)
        assert value
        odds = dict.fromkeys("tf", 0.0)
        for one in tokens[value.start(1)]["top_logprobs"]:
            if one["token"] in odds:  # some models have two tokens of one text
                odds[one["token"]] += math.exp(one["logprob"])
        share = answer.values["is_sociopolitical_prob"]
        assert share == pytest.approx(odds["t"] / (odds["t"] + odds["f"]), abs=1e-6)
        each = [one for one in json.loads(str(answer.values["ideology_probs"])).values() if one]
        assert sum(each) <= 1 + 1e-5


def test_each_of_several_posts_in_a_prompt_has_valid_labels(
    binding: RealServer, tmp_path: Path
) -> None:
    frozen = options(binding, tmp_path, posts_per_prompt=3, keep_raw=True)
    found = answers(create(frozen, TaskShare()), posts(*TEXTS))
    assert_labeled(found)
    kept_with_another = [a for a in found.values() if "response_of" in json.loads(str(a.raw))]
    assert len(kept_with_another) == 4  # of two requests for six posts


def test_used_and_cached_tokens_are_reported(vllm: RealServer, tmp_path: Path) -> None:
    """The fixed instructions come first, so all prompts have a cached beginning."""
    asker = create(
        options(vllm, tmp_path, system="You label posts. " * 100, max_in_flight=1), TaskShare()
    )
    facts = [answer.facts for answer in answers(asker, posts(*TEXTS)).values()]
    for one in facts:
        assert 1700 < int(str(one["llm_prompt_tokens"])) < 4000
        assert 0 < int(str(one["llm_completion_tokens"])) <= MAX_TOKENS
    assert min(int(str(one["llm_cached_tokens"])) for one in facts[1:]) >= 1500


@pytest.fixture
def of_its_own(tmp_path: Path) -> Path:
    """Return a model whose path identifies the servers of this test."""
    return tiny_llm.write_model(tmp_path / "model")


def task_with_a_vllm(model: Path, tmp_path: Path, count: int) -> tuple[Path, Any]:
    frozen = options(None, tmp_path, server=engines.vllm_in_a_task(model))
    return run_builders.make_run(tmp_path, run_builders.posts(count), classifier=frozen)


def at_work(run_dir: Path, model: Path) -> "tuple[subprocess.Popen[str], int, set[int]]":
    """Start a task, and return it with its server when it has answers."""
    task = task_processes.start(run_builders.order(run_dir))
    wait_until(
        lambda: task_processes.rows_in(manifest.work_path(run_dir, 0)), task=task, seconds=240
    )
    (server,) = started_servers.alive_by_pid(model)
    return task, server, {process.pid for process in proc.descendants(server)}


def engine_core(started: set[int]) -> int:
    """Return the process of a vLLM that computes; it names itself."""
    (core,) = (
        pid
        for pid in started
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"VLLM::EngineCore")
    )
    return core


def test_a_task_restarts_its_vllm_when_the_core_is_killed(of_its_own: Path, tmp_path: Path) -> None:
    """The process that computes is killed; the one that listens then ends by itself."""
    run_dir, run = task_with_a_vllm(of_its_own, tmp_path, 2000)
    task, server, started = at_work(run_dir, of_its_own)
    os.kill(engine_core(started), signal.SIGKILL)
    code, out, err = task_processes.finished(task, within=240)
    assert (code, err) == (0, "")
    check, table = output.read(run_dir, run, 0)
    assert table is not None, check
    assert table["was_successfully_labeled"].to_pylist() == [True] * 2000
    assert out.count("the server is ready after") == 2
    assert not [pid for pid in (server, *started) if Path(f"/proc/{pid}").exists()]
    assert started_servers.alive(of_its_own) == []


def test_no_process_of_a_vllm_is_left_when_its_task_is_killed(
    of_its_own: Path, tmp_path: Path
) -> None:
    run_dir, _ = task_with_a_vllm(of_its_own, tmp_path, 3000)
    task, server, started = at_work(run_dir, of_its_own)
    assert started
    task_processes.kill(task)
    wait_until(lambda: not [pid for pid in (server, *started) if Path(f"/proc/{pid}").exists()])


def test_a_vllm_that_cannot_start_is_reported_with_the_cause_in_its_log(
    of_its_own: Path, tmp_path: Path
) -> None:
    """One process fails and three end, each with a traceback; the first one has the cause."""
    weights = of_its_own / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    run_dir, _ = task_with_a_vllm(of_its_own, tmp_path, 3)
    code, out, err = task_processes.finished(
        task_processes.start(run_builders.order(run_dir)), within=240
    )
    assert code != 0
    assert "ended with exit code 1 while starting: safetensors" in out + err
    assert "SafetensorError: Error while deserializing header" in out + err
