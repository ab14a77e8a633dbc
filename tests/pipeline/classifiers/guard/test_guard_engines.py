"""Guard models against the engines of real clusters, in both forms of a template.

Only the letters of two words are allowed. Each letter is a token, and every token is listed, so a
word's share is that of its letter in either case.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.model import Answer, JsonObject
from tests.pipeline.classifiers.classifier_setup import answers, posts
from tests.pipeline.classifiers.guard.asked_guards import CHAT, guard
from tests.pipeline.classifiers.llm.labeled import TEXTS, TOO_LONG
from tests.servers import engines, gguf_model, tiny_llm
from tests.servers.real_server import RealServer

pytestmark = pytest.mark.engines

WORDS = {"y": True, "n": False}


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealServer, JsonObject]]:
    model = tiny_llm.write_model(tmp_path_factory.mktemp("tiny") / "model")
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    allowed = {"allowed_token_ids": [vocabulary[letter] for letter in "yYnN"]}
    # vLLM ends if more tokens are to be listed than there are.
    with engines.vllm(model, "--max-logprobs", str(len(vocabulary))) as running:
        yield running, {"request": allowed, "top_logprobs": len(vocabulary)}


@pytest.fixture(scope="module")
def llama_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RealServer, JsonObject]]:
    file = gguf_model.write_model(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    with engines.llama_server(file) as running:
        yield running, {"request": {"grammar": "root ::= [yYnN]"}, "top_logprobs": 400}


@pytest.mark.parametrize("form", ["plain", "chat"])
@pytest.mark.parametrize("engine", ["vllm", "llama_server"])
def test_the_probability_is_the_models_own(
    engine: str, form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server, bound = request.getfixturevalue(engine)
    (tmp_path / "template.txt").write_text("Post: {text}\nUnkind?")
    template: JsonObject = {"messages": [{"role": "system", "content": "Be kind."}, *CHAT]}
    if form == "plain":
        template = {"messages": None, "prompt": "template.txt"}
    frozen = guard(tmp_path, server.base_url, model="tiny", label="toxic", words=WORDS,
                   max_tokens=1, keep_raw=True, **bound, **template)  # fmt: skip
    found = answers(create(frozen, TaskShare()), posts(TOO_LONG, *TEXTS))
    assert found.pop(TOO_LONG).reason == "context_length_exceeded"
    for answer in found.values():
        assert answer.values is not None, answer.reason
        odds = letters(answer)
        yes, no = odds["y"] + odds["Y"], odds["n"] + odds["N"]
        assert answer.values["prob_toxic"] == pytest.approx(yes / (yes + no), abs=1e-6)


def letters(answer: Answer) -> dict[str, float]:
    """Return the probabilities of the letters at the first place; some have several tokens."""
    logprobs = json.loads(str(answer.raw))["choices"][0]["logprobs"]
    if "content" in logprobs:
        listed = [(one["token"], one["logprob"]) for one in logprobs["content"][0]["top_logprobs"]]
    else:
        listed = list(logprobs["top_logprobs"][0].items())
    odds = dict.fromkeys("yYnN", 0.0)
    for token, logprob in listed:
        if token in odds:
            odds[token] += math.exp(logprob)
    return odds
