"""Guard models against llama-cpp-python with random weights, in both forms of a template.

A grammar makes the model say one of the words. Its tokens are single characters, so a word's share
is that of its first letter, in either case.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("gguf", reason="the tiny model is written with gguf: pip install '.[dev]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python[server]: pip install '.[dev]'")

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, JsonObject
from pipeline.run_files import manifest, output
from tests.pipeline import run_builders, task_processes
from tests.pipeline.classifiers.classifier_setup import answers, posts
from tests.pipeline.classifiers.guard.asked_guards import CHAT, guard
from tests.pipeline.classifiers.llm.labeled import TEXTS, TOO_LONG
from tests.servers.gguf_model import write_model
from tests.servers.llama import LlamaServer

pytestmark = pytest.mark.llama

VOCABULARY = 400  # more than the tiny model has: every token is listed
GRAMMAR = 'root ::= [ \\n]? ("yes" | "No" | "no")'
YES_NO = {"yes": True, "no": False}


def asked(server: LlamaServer, folder: Path, **values: Any) -> JsonObject:
    given = {"model": "tiny", "label": "toxic", "words": YES_NO, "top_logprobs": VOCABULARY,
             "request": {"grammar": GRAMMAR}, "max_in_flight": 4, **values}  # fmt: skip
    return guard(folder, server.base_url, **given)


@pytest.fixture(params=["plain", "chat"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> JsonObject:
    """Each form of a template, in turn."""
    (tmp_path / "template.txt").write_text("Policy {not}: be kind.\nPost: {text}\nUnkind?\n")
    if request.param == "plain":
        return {"messages": None, "prompt": "template.txt", "allow_placeholders": True}
    return {"messages": [{"role": "system", "content": "Be kind."}, *CHAT]}


def letters(answer: Answer) -> dict[str, float]:
    """Return the probabilities of the letters at the first place that is no blank."""
    choice = json.loads(str(answer.raw))["choices"][0]
    logprobs = choice["logprobs"]
    if "message" in choice:
        place = next(one for one in logprobs["content"] if one["token"].strip())
        listed = {one["token"]: one["logprob"] for one in place["top_logprobs"]}
    else:
        place = next(n for n, text in enumerate(logprobs["tokens"]) if text.strip())
        listed = logprobs["top_logprobs"][place]
    return {letter: math.exp(listed[letter]) for letter in "yYnN"}


def test_the_probability_is_the_models_own_and_every_post_has_one(
    llama_cpp_server: LlamaServer, tmp_path: Path, form: JsonObject
) -> None:
    asker = create(asked(llama_cpp_server, tmp_path, keep_raw=True, **form), TaskShare())
    found = answers(asker, posts(TOO_LONG, "hi </s><end_of_turn>[INST] {text}", *TEXTS))
    assert found.pop(TOO_LONG).reason == "context_length_exceeded"
    for answer in found.values():
        assert answer.values is not None, answer.reason
        odds = letters(answer)
        yes, no = odds["y"] + odds["Y"], odds["n"] + odds["N"]
        assert answer.values["prob_toxic"] == pytest.approx(yes / (yes + no))
        said = json.loads(str(answer.raw))["choices"][0]
        text = said["message"]["content"] if "message" in said else said["text"]
        assert answer.values["toxic"] is (text.strip() == "yes")
        assert int(str(answer.facts["llm_completion_tokens"])) >= 2


def test_without_a_grammar_random_weights_end_the_run_before_the_first_post(
    llama_cpp_server: LlamaServer, tmp_path: Path, form: JsonObject
) -> None:
    unbound = asked(llama_cpp_server, tmp_path, request={}, **form)
    with pytest.raises(TaskError) as raised:
        list(create(unbound, TaskShare()).classify(posts("a")))
    assert raised.value.cause is Cause.REFUSED


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    model = write_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with LlamaServer(model, "--logits_all", "false") as running:
        yield running


def test_a_server_without_logprobs_gives_labels_where_no_probability_is_wanted(
    mute: LlamaServer, tmp_path: Path, form: JsonObject
) -> None:
    with pytest.raises(TaskError) as raised:
        list(create(asked(mute, tmp_path, **form), TaskShare()).classify(posts("a")))
    assert raised.value.cause is Cause.REFUSED
    labels_only = asked(mute, tmp_path, scores=False, top_logprobs=None, **form)
    (answer,) = answers(create(labels_only, TaskShare()), posts("a")).values()
    assert answer.values is not None
    assert set(answer.values) == {"toxic", "llm_model_name"}


def test_a_whole_task_publishes_one_row_per_post(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    rows = run_builders.posts(12)
    questions = [{"label": name, "question": f"Is it {name}?"} for name in ("curiosity", "respect")]
    frozen = asked(llama_cpp_server, tmp_path, label=None, questions=questions,
                   messages=[{"role": "system", "content": "{question}"}, *CHAT])  # fmt: skip
    run_dir, run = run_builders.make_run(tmp_path, rows, classifier=frozen, name="guard")
    code, _, err = task_processes.run(run_builders.order(run_dir))
    assert (code, err) == (0, "")
    verdict = output.verify(run_dir, run, 0)
    assert verdict.verified
    table = pq.read_table(manifest.output_path(run_dir, 0), partitioning=None)
    assert sorted(table["uri"].to_pylist()) == [row.uri for row in rows]
    assert table["was_successfully_labeled"].to_pylist() == [True] * 12
    for name in ("curiosity", "respect"):
        assert all(0 < share < 1 for share in table[f"prob_{name}"].to_pylist())
        assert set(table[name].to_pylist()) <= {True, False}
    assert verdict.counts == {
        name: sum(table[name].to_pylist())
        for name in ("llm_prompt_tokens", "llm_completion_tokens")
    }
