"""The LLM classifier against llama-cpp-python with random weights: only its grammar makes sense."""

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

pytest.importorskip("gguf", reason="the tiny model is written with gguf: pip install '.[dev]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python[server]: pip install '.[dev]'")

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.classifiers.llm import chat
from pipeline.classifiers.llm.output_modes import ProbeRequest, probe_server
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, JsonObject
from pipeline.run_files import manifest, output
from pipeline.service.http_reply import Reply
from tests.pipeline import run_builders, task_processes
from tests.pipeline.classifiers.classifier_setup import answers, labels_of, posts
from tests.pipeline.classifiers.llm.labeled import (
    CHOICES,
    LABELS,
    TEXTS,
    TOO_LONG,
    assert_labeled,
    options,
)
from tests.pipeline.classifiers.llm.server import started_servers
from tests.servers.gguf_model import write_model
from tests.servers.llama import LlamaServer

pytestmark = pytest.mark.llama


def test_every_post_has_valid_labels_or_a_reason(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    asker = create(options(llama_cpp_server, tmp_path), TaskShare())
    found = answers(asker, posts(TOO_LONG, *TEXTS))
    assert found.pop(TOO_LONG) == Answer("at://0", reason="context_length_exceeded")
    assert_labeled(found)


def test_without_constraints_random_weights_end_the_run_before_the_first_post(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    unbound = options(llama_cpp_server, tmp_path, structured_output="none", answer_tries=2)
    with pytest.raises(TaskError) as raised:
        list(create(unbound, TaskShare()).classify(posts(*TEXTS)))
    assert raised.value.cause is Cause.REFUSED


def test_a_proof_word_shows_that_llama_cpp_enforces_json_object(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    """Random weights do not write the schema's 12 hexadecimal digits by chance."""
    notes = tmp_path / "notes"
    answers(create(options(llama_cpp_server, tmp_path), TaskShare(notes=notes)), posts("Vote!"))
    (note,) = notes.iterdir()
    found = json.loads(note.read_text())
    assert (found["mode"], found["said"]["json_object"]) == ("json_object", "honoured")
    assert found["said"]["json_schema"].startswith("HTTP 500: ")
    note.write_text(note.read_text().replace('"mode": "json_object"', '"mode": "none"'))
    unbound = answers(
        create(options(llama_cpp_server, tmp_path), TaskShare(notes=notes)), posts("Vote!")
    )
    assert unbound["Vote!"].values is None  # it believed the note


def test_llama_cpp_is_detected_to_ignore_vllms_mode(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    request = ProbeRequest(
        server="llama", model="tiny", mode="auto", top_logprobs=0, declared=labels_of(LABELS)
    )

    def ask(fields: JsonObject) -> Reply:
        kept = {} if "response_format" in fields else fields
        body = chat.request(model="tiny", system="", user={}, temperature=0, max_tokens=50)
        response = requests.post(
            f"{llama_cpp_server.base_url}/chat/completions", json=body | kept, timeout=60
        )
        return Reply(status=response.status_code, body=response.json(), summary="")

    detected = probe_server(request, ask)
    assert detected.mode == "none"
    assert set(detected.findings) == {"json_schema", "json_object", "structured_outputs"}


QWEN = {"chat_template_kwargs": {"enable_thinking": False}}


def test_a_seed_among_the_fields_of_the_request_decides_what_is_sampled(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    """It ignores the switch for thinking, which its model does not have."""

    def labeled(seed: int) -> list[object]:
        fields = {**QWEN, "seed": seed}
        frozen = options(llama_cpp_server, tmp_path, temperature=1.0, request=fields)
        found = answers(create(frozen, TaskShare()), posts(*TEXTS[:4]))
        assert_labeled(found)
        return [found[text].values for text in TEXTS[:4]]

    assert labeled(7) == labeled(7)
    assert len({json.dumps(labeled(seed)) for seed in range(8)}) > 1


def test_a_whole_task_publishes_one_row_per_post(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    rows = run_builders.posts(30)
    frozen = options(llama_cpp_server, tmp_path)
    run_dir, run = run_builders.make_run(tmp_path, rows, classifier=frozen, name="llm")
    code, _, err = task_processes.run(run_builders.order(run_dir))
    assert (code, err) == (0, "")
    check = output.verify(run_dir, run, 0)
    assert check.verified
    table = pq.read_table(manifest.output_path(run_dir, 0), partitioning=None)
    assert sorted(table["uri"].to_pylist()) == [row.uri for row in rows]
    assert set(table["was_successfully_labeled"].to_pylist()) == {True}
    assert set(table["ideology"].to_pylist()) <= set(CHOICES)
    assert set(table["llm_model_name"].to_pylist()) == {"tiny"}
    # It has no prefix cache to tell of.
    assert check.counts == {
        name: sum(table[name].to_pylist())
        for name in ("llm_prompt_tokens", "llm_completion_tokens")
    }
    assert min(*table["llm_prompt_tokens"].to_pylist()) > 30
    assert 2 <= min(table["llm_completion_tokens"].to_pylist()) <= 100
    assert table["llm_cached_tokens"].to_pylist() == [None] * 30


@pytest.fixture
def mute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    model = write_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with LlamaServer(model, "--logits_all", "false", context=1024) as running:
        yield running


def test_each_of_several_posts_in_a_prompt_has_valid_labels(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    """Six posts by threes; one is longer than the context, and only its own two beside it pay for
    it with a request of their own."""
    frozen = options(
        llama_cpp_server, tmp_path, posts_per_prompt=3, keep_raw=True, scores=True,
        top_logprobs=400, max_in_flight=1,
    )  # fmt: skip
    asked = posts(*TEXTS, TOO_LONG, "a", "b")
    found = answers(create(frozen, TaskShare()), asked)
    assert found[TOO_LONG].reason == "context_length_exceeded"
    labeled = [answer for answer in found.values() if answer.values]
    assert len(labeled) == 8
    for answer in labeled:
        assert answer.values
        assert answer.values["ideology"] in CHOICES
        assert 0 < float(str(answer.values["is_sociopolitical_prob"])) < 1
    together: dict[str, list[Answer]] = {}  # by the uri that their response is kept with
    for answer in found.values():
        said = json.loads(str(answer.raw))
        together.setdefault(said.get("response_of", answer.uri), []).append(answer)
    assert sorted(map(len, together.values())) == [1, 1, 1, 3, 3]
    for first, *others in together.values():
        if others:
            by_id = json.loads(json.loads(str(first.raw))["choices"][0]["message"]["content"])
            values = [answer.values for answer in (first, *others)]
            assert [
                (one and one["is_sociopolitical"], one and one["ideology"]) for one in values
            ] == [(one["is_sociopolitical"], one["ideology"]) for one in by_id.values()]


VOCABULARY = 400  # more than the tiny model has: every token is listed


def test_probabilities_match_the_models_own_distribution(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    """Its tokens are single characters, so a bool's share is that of its first letter."""
    frozen = options(
        llama_cpp_server, tmp_path, scores=True, top_logprobs=VOCABULARY, keep_raw=True
    )
    notes = tmp_path / "notes"
    found = answers(create(frozen, TaskShare(notes=notes)), posts(*TEXTS[:5]))
    for answer in found.values():
        assert answer.values is not None
        said = json.loads(str(answer.raw))["choices"][0]
        tokens = said["logprobs"]["content"]
        content = said["message"]["content"]
        value = re.search(r'"is_sociopolitical"\s*:\s*(true|false)', content)
        assert value
        start = value.start(1)  # one token a character
        odds = {
            one["token"]: math.exp(one["logprob"])
            for one in tokens[start]["top_logprobs"]
            if one["token"] in "tf"
        }
        expected = odds["t"] / (odds["t"] + odds["f"])
        assert answer.values["is_sociopolitical_prob"] == pytest.approx(expected)
        each = json.loads(str(answer.values["ideology_probs"]))
        assert list(each) == ["left", "right", "moderate", "unclear", "null"]
        shares = [share for share in each.values() if share is not None]
        assert sum(shares) <= 1 + 1e-5
        if answer.values["ideology"] is not None:  # then those that part at its second letter
            assert sum(shares) == pytest.approx(1, abs=1e-5)
        chosen = each[answer.values["ideology"] or "null"]
        assert answer.values["ideology_prob"] == pytest.approx(chosen, abs=1e-6)
    (note,) = notes.iterdir()
    assert json.loads(note.read_text())["top_logprobs"] == VOCABULARY


def test_twenty_tokens_of_an_untrained_model_leave_most_probabilities_unknown(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    found = answers(
        create(options(llama_cpp_server, tmp_path, scores=True), TaskShare()), posts(*TEXTS[:5])
    )
    shares = [dict(answer.values or {})["is_sociopolitical_prob"] for answer in found.values()]
    assert None in shares
    assert all(share is None or 0 < float(share) < 1 for share in shares)  # type: ignore[arg-type]


def test_a_server_without_logprobs_gives_labels_without_probabilities(
    mute: LlamaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --logits_all false it answers a request for logprobs with 500."""
    notes = tmp_path / "notes"
    asker = create(options(mute, tmp_path, scores=True), TaskShare(notes=notes))
    answer = answers(asker, posts("Vote!"))["Vote!"]
    assert answer.reason is None
    values = dict(answer.values or {})
    assert isinstance(values["is_sociopolitical"], bool)
    assert [values[name] for name in values if "_prob" in name] == [None] * 3
    (note,) = notes.iterdir()
    found = json.loads(note.read_text())
    assert (found["mode"], found["top_logprobs"]) == ("json_object", 0)
    assert found["said"]["top_logprobs 20"].startswith("HTTP 500: ")
    assert capsys.readouterr().out == (
        f"{mute.base_url} gives no logprobs: no label has a probability\n"
    )


def test_a_task_can_start_llama_cpp_itself(llama_cpp_server: LlamaServer, tmp_path: Path) -> None:
    """It has no /health and answers one request at a time, on another port than `server`."""
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(llama_cpp_server.model)]
    given = {"command": [*command, "--host", "{host}", "--port", "{port}"],
             "tuning": ["--n_ctx", 4096]}  # fmt: skip
    frozen = options(llama_cpp_server, tmp_path, base_url=None, server=given)
    rows = [
        post._replace(text=text) for post, text in zip(run_builders.posts(6), TEXTS, strict=True)
    ]
    run_dir, run = run_builders.make_run(tmp_path, rows, classifier=frozen)
    code, out, err = task_processes.run(run_builders.order(run_dir))
    assert (code, err) == (0, "")
    assert "the server is ready after" in out
    check, table = output.read(run_dir, run, 0)
    assert table is not None, check
    assert table["was_successfully_labeled"].to_pylist() == [True] * 6
    log = manifest.server_log_path(run_dir, 1, 0).read_text()
    assert log.count("POST /v1/chat/completions HTTP/1.1") >= 6
    (left,) = started_servers.alive(llama_cpp_server.model)
    assert str(llama_cpp_server.port) in left
