"""What llama-cpp-python's server does and does not do: facts that the LLM classifier relies on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.importorskip("gguf", reason="the tiny model is written with gguf: pip install '.[dev]'")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python[server]: pip install '.[dev]'")

from .gguf_model import write_model
from .llama import LlamaServer

pytestmark = pytest.mark.llama

LABELS = ["left", "right", "moderate", "unclear"]
SCHEMA = {
    "type": "object",
    "properties": {
        "political": {"type": "boolean"},
        "ideology": {"type": "string", "enum": LABELS},
    },
    "required": ["political", "ideology"],
    "additionalProperties": False,
}
POSTS = ["Vote!", "🦋 مرحبا\n\u200d\x00 é", "{{ braces }} </s> [INST]", "a" * 3000]


def ask(server: LlamaServer, content: str, **more: Any) -> requests.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 100}
    return requests.post(
        f"{server.base_url}/chat/completions", json=body | {"temperature": 0} | more, timeout=60
    )


@pytest.mark.parametrize("post", POSTS)
def test_json_object_with_a_schema_constrains_even_a_random_model(
    llama_cpp_server: LlamaServer, post: str
) -> None:
    response = ask(
        llama_cpp_server, post, response_format={"type": "json_object", "schema": SCHEMA}
    )
    (choice,) = response.json()["choices"]
    answer = json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"
    assert answer.keys() == {"political", "ideology"}
    assert isinstance(answer["political"], bool)
    assert answer["ideology"] in LABELS


def test_without_a_schema_the_model_writes_no_json(llama_cpp_server: LlamaServer) -> None:
    content = ask(llama_cpp_server, "Vote!").json()["choices"][0]["message"]["content"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(content)


def test_a_valid_json_schema_request_gets_a_500(llama_cpp_server: LlamaServer) -> None:
    schema = {"name": "labels", "schema": SCHEMA}
    response = ask(
        llama_cpp_server, "x", response_format={"type": "json_schema", "json_schema": schema}
    )
    assert response.status_code == 500


def test_a_prompt_that_is_too_long_gets_a_400_with_a_code(llama_cpp_server: LlamaServer) -> None:
    response = ask(llama_cpp_server, "word " * 2000)
    assert (response.status_code, response.json()["error"]["code"]) == (
        400,
        "context_length_exceeded",
    )


def test_the_server_has_no_health_page(llama_cpp_server: LlamaServer) -> None:
    assert requests.get(f"{llama_cpp_server.url}/health", timeout=10).status_code == 404


def test_the_model_file_is_always_the_same(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "a.gguf"), write_model(tmp_path / "b.gguf")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 1_000_000


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Model path does not exist") as failure:
        LlamaServer(tmp_path / "missing.gguf").start()
    assert "ended with exit code 1; its log ends with:" in str(failure.value)
