"""`classifier.server`: what is frozen of it, and what its command becomes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hpc.config.run_config import load
from pipeline.classifiers.frozen_classifier import what_decides
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.server.options import ServerOptions, server_options
from tests.pipeline.classifiers.classifier_setup import frozen_options
from tests.pipeline.classifiers.llm.server.started_servers import ROOT

COMMAND = ["vllm", "serve", "{model}", "--port", "{port}"]
OTHERS = {"model": "m", "prompt": "A prompt.", "labels": [{"name": "civic", "type": "bool"}]}


def given(**server: Any) -> LlmOptions:
    return msgspec.convert({**OTHERS, "server": {"command": COMMAND, **server}}, LlmOptions)


def started(options: LlmOptions) -> ServerOptions:
    assert options.server
    return server_options(options.server, model=options.model)


def test_what_is_frozen() -> None:
    frozen = given().to_json()
    assert (frozen["server_command"], frozen["server"]) == (
        COMMAND,
        {"tuning": [], "env": {}, "ready": None, "ready_seconds": 900.0, "base_path": "/v1"},
    )
    more = given(ready="/ping", ready_seconds=60, base_path="/api/v1/", env={"N": "4"})
    assert more.to_json()["server"] == {
        "tuning": [],
        "env": {"N": "4"},
        "ready": "/ping",
        "ready_seconds": 60.0,
        "base_path": "/api/v1",
    }


def test_a_number_in_a_command_is_the_text_of_it(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("A prompt.")
    server = {"command": [*COMMAND, 7], "tuning": ["--n_ctx", 4096, 0.5], "env": {"N": 4}}
    values = {"type": "llm", **OTHERS, "prompt": "prompt.txt", "server": server}
    frozen = frozen_options(values, tmp_path)
    assert frozen["server_command"] == [*COMMAND, "7"]
    assert (frozen["server"]["tuning"], frozen["server"]["env"]) == (
        ["--n_ctx", "4096", "0.5"],
        {"N": "4"},
    )


def test_only_the_command_changes_labels() -> None:
    frozen = {"type": "llm", **given(env={"A": "1"}).to_json()}
    other = {"type": "llm", **given(tuning=["--x"]).to_json()}
    assert what_decides(frozen) == what_decides(other)
    assert what_decides(frozen)["server_command"] == COMMAND
    assert "server" not in what_decides(frozen)


def test_a_manifest_gives_the_options_back() -> None:
    options = given(tuning=["--x"], env={"A": "1"})
    assert LlmOptions.from_manifest(options.to_json(), source="manifest.json") == options


def test_a_server_elsewhere_is_known_by_its_address() -> None:
    options = msgspec.convert({**OTHERS, "base_url": "http://node7:8000/v1/"}, LlmOptions)
    assert options.server_name == options.base_url == "http://node7:8000/v1"


def test_a_server_in_the_task_is_known_by_its_command() -> None:
    assert given().server_name == " ".join(COMMAND)


def test_a_port_may_be_given_by_a_variable() -> None:
    options = given(command=["ollama", "serve"], env={"OLLAMA_HOST": "{host}:{port}"})
    assert started(options).command == ("ollama", "serve")


@pytest.mark.parametrize(
    "own",
    [
        '{"backend":"xgrammar"}',
        '{"a": {"b": {}}}',
        "{}",
        "{{ messages }}",
        "{{messages}}",
        "${HOME}/x",
        "{a,b}",
        r"\d{3}",
    ],
)
def test_braces_that_are_no_placeholder_are_the_servers_own(own: str) -> None:
    """JSON, a template's, a shell's, a pattern's."""
    server = started(given(command=[*COMMAND, own], tuning=[own], env={"A": own}))
    assert server.command[-2:] == (own, own)
    values = {"port": "1", "host": "h", "scratch": "/s"}
    assert [server.fill_placeholders(text, **values) for text in (own, server.env["A"])] == [
        own,
        own,
    ]


@pytest.mark.parametrize("flag", ["--max-tokens-per-step", "--tokenizer", "--keyring"])
def test_flags_that_are_no_secrets(flag: str) -> None:
    assert flag in started(given(tuning=[flag, "1"])).command


def test_the_example_is_one_that_works() -> None:
    config = load(ROOT / "configs" / "llm_server.yaml")
    options = config.classifier.options
    assert isinstance(options, LlmOptions)
    server = started(options)
    values = {"port": "40001", "host": "127.0.0.1", "scratch": "/tmp/x"}
    assert " ".join(server.fill_placeholders(word, **values) for word in server.command) == (
        "vllm serve Qwen/Qwen3-8B --host 127.0.0.1 --port 40001 --dtype bfloat16 "
        "--max-model-len 4096 --gpu-memory-utilization 0.9"
    )
    assert server.env == {"HF_HUB_OFFLINE": "1"}
