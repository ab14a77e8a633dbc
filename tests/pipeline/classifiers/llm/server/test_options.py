"""`classifier.server`, read strictly."""

from pathlib import Path
from typing import Any

import pytest

from hpc.run.run_config import load
from pipeline.classifiers import base
from pipeline.classifiers.base import what_decides
from pipeline.classifiers.llm.server import options
from pipeline.config.section import Section
from pipeline.errors import InputError
from tests.pipeline.classifiers.asking import section
from tests.pipeline.classifiers.llm.server.started_servers import ROOT

COMMAND = ["vllm", "serve", "{model}", "--port", "{port}"]


def given(folder: Path, **server: Any) -> Section:
    return section({"server": {"command": COMMAND, **server}}, folder)


def refused(read: Section) -> str:
    with pytest.raises(InputError) as caught:
        options.freeze(read)
    return str(caught.value).partition(": ")[2]


def test_what_is_frozen(tmp_path: Path) -> None:
    assert options.freeze(given(tmp_path)) == {
        "server_command": COMMAND,
        "server": {
            "tuning": [],
            "env": {},
            "ready": None,
            "ready_seconds": 900.0,
            "base_path": "/v1",
        },
    }
    values = {"ready": "/ping", "ready_seconds": 60, "base_path": "/api/v1/", "env": {"N": 4},
              "tuning": ["--n_ctx", 4096, 0.5]}  # fmt: skip
    assert options.freeze(given(tmp_path, **values))["server"] == {
        "tuning": ["--n_ctx", "4096", "0.5"],
        "env": {"N": "4"},
        "ready": "/ping",
        "ready_seconds": 60.0,
        "base_path": "/api/v1",
    }


def test_only_the_command_is_part_of_the_question(tmp_path: Path) -> None:
    frozen = {"type": "llm", "model": "m", **options.freeze(given(tmp_path, env={"A": "1"}))}
    other = {"type": "llm", "model": "m", **options.freeze(given(tmp_path, tuning=["--x"]))}
    assert what_decides(frozen) == what_decides(other)
    assert what_decides(frozen) == {"type": "llm", "model": "m", "server_command": COMMAND}


def test_a_server_somewhere_else(tmp_path: Path) -> None:
    frozen = options.freeze(section({"base_url": "http://node7:8000/v1/"}, tmp_path))
    assert frozen == {"base_url": "http://node7:8000/v1"}
    assert options.thaw(frozen) is None
    assert options.name(frozen) == "http://node7:8000/v1"


def test_a_server_in_the_task_is_known_by_its_command(tmp_path: Path) -> None:
    assert options.name(options.freeze(given(tmp_path))) == " ".join(COMMAND)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"command": []}, "classifier.server.command: should name a program and its arguments"),
        (
            {"command": ["vllm", "serve"]},
            'classifier.server.command: should hold "{port}", in quotes: each task has a free '
            "port of its own",
        ),
        (
            {"command": ["vllm", {"port": None}]},
            'classifier.server.command: should be a list of texts ("{port}" in quotes), not '
            "['vllm', {'port': None}]",
        ),
        (
            {"command": "vllm serve"},
            'classifier.server.command: should be a list of texts ("{port}" in quotes), not '
            "'vllm serve'",
        ),
        (
            {"tuning": [True]},
            'classifier.server.tuning: should be a list of texts ("{port}" in quotes), not [True]',
        ),
        (
            {"tuning": ["--api-key=sk-4711"]},
            "classifier.server.tuning: --api-key looks like a secret, which the run's folder would "
            "keep: export it where you submit; the server has the task's environment",
        ),
        (
            {"env": {"HF_TOKEN": "hf_4711"}},
            "classifier.server.env.HF_TOKEN: HF_TOKEN looks like a secret, which the run's folder "
            "would keep: export it where you submit; the server has the task's environment",
        ),
        (
            {"env": ["A=1"]},
            "classifier.server.env: should map names of variables to texts, not ['A=1']",
        ),
        (
            {"ready": "health"},
            "classifier.server.ready: should be a path that begins with /, not 'health'",
        ),
        (
            {"command": ["vllm", "--port={prot}", "{port}"]},
            "classifier.server.command: nothing fills in {prot} (did you mean {port}?); "
            "known: {port}, {host}, {model}, {scratch}",
        ),
        (
            {"tuning": ["--tensor-parallel-size", "{gpus}"]},
            "classifier.server.tuning: nothing fills in {gpus}; "
            "known: {port}, {host}, {model}, {scratch}",
        ),
        (
            {"env": {"HF_HOME": "{Scratch}"}},
            "classifier.server.env.HF_HOME: nothing fills in {Scratch} (did you mean "
            "{scratch}?); known: {port}, {host}, {model}, {scratch}",
        ),
        ({"ready_seconds": 0}, "classifier.server.ready_seconds: should be more than 0, not 0"),
        (
            {"redy": "/x"},
            "classifier.server.redy: is not a key that anything reads (did you mean 'ready'?)",
        ),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, server: dict[str, Any], said: str) -> None:
    message = refused(given(tmp_path, **server))
    assert message == said
    assert "4711" not in message


def test_both_kinds_of_server_are_one_too_many(tmp_path: Path) -> None:
    both = section({"base_url": "http://x/v1", "server": {"command": COMMAND}}, tmp_path)
    assert refused(both) == "classifier.base_url: give either base_url or server, not both"


@pytest.mark.parametrize(
    ("keys", "near"),
    [({}, ""), ({"base_ulr": "http://x/v1"}, " (is 'base_ulr' meant to be it?)")],
)
def test_without_either_both_ways_are_told(tmp_path: Path, keys: dict[str, Any], near: str) -> None:
    otherwise = "; or give server, which each task starts for itself"
    assert refused(section(keys, tmp_path)) == f"classifier.base_url: is missing{near}{otherwise}"


def test_a_server_of_ones_own_has_no_quota(tmp_path: Path) -> None:
    both = section({"server": {"command": COMMAND}, "requests_per_minute": 60}, tmp_path)
    said = "classifier.requests_per_minute: a server of the task's own has no quota"
    assert refused(both) == said


def test_a_port_may_be_given_by_a_variable(tmp_path: Path) -> None:
    read = given(tmp_path, command=["ollama", "serve"], env={"OLLAMA_HOST": "{host}:{port}"})
    assert options.freeze(read)["server_command"] == ["ollama", "serve"]


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
def test_braces_that_are_no_placeholder_are_the_servers_own(tmp_path: Path, own: str) -> None:
    """JSON, a template's, a shell's, a pattern's."""
    read = given(tmp_path, command=[*COMMAND, own], tuning=[own], env={"A": own})
    thawed = options.thaw({"model": "m", **options.freeze(read)})
    assert thawed
    assert thawed.command[-2:] == (own, own)
    values = {"port": "1", "host": "h", "scratch": "/s"}
    assert [thawed.filled(text, **values) for text in (own, thawed.env["A"])] == [own, own]


@pytest.mark.parametrize("flag", ["--max-tokens-per-step", "--tokenizer", "--keyring"])
def test_flags_that_are_no_secrets(tmp_path: Path, flag: str) -> None:
    assert flag in options.freeze(given(tmp_path, tuning=[flag, "1"]))["server"]["tuning"]


def test_the_example_is_one_that_works() -> None:
    config = load(ROOT / "configs" / "llm_server.yaml")
    thawed = options.thaw(base.freeze(config.classifier))
    assert thawed
    values = {"port": "40001", "host": "127.0.0.1", "scratch": "/tmp/x"}
    assert " ".join(thawed.filled(word, **values) for word in thawed.command) == (
        "vllm serve Qwen/Qwen3-8B --host 127.0.0.1 --port 40001 --dtype bfloat16 "
        "--max-model-len 4096 --gpu-memory-utilization 0.9"
    )
    assert thawed.env == {"HF_HUB_OFFLINE": "1"}
