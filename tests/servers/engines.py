"""Run the engines of `.ci/test-engines`: vLLM for CPUs, transformers serve, llama-server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .real_server import RealServer

STARTUP_S = 240.0  # vLLM: 25 s on an idle machine
# Where `.ci/test-engines` installs them.
FOLDER = "HPC_TEST_ENGINES"
OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
VLLM_ENV = OFFLINE | {"VLLM_CPU_KVCACHE_SPACE": "1"}  # GiB


def program(name: str) -> str:
    """Return the path of a program of the engines; skip the test if they are not installed."""
    folder = os.environ.get(FOLDER)
    if not folder:
        pytest.skip("needs real engines: bash .ci/test-engines")
    return str(Path(folder, "bin", name))


def vllm_command(model: Path) -> list[str]:
    """Return its command. JSON has no blanks: random weights would never stop writing them."""
    command = [program("python"), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", "tiny", "--dtype", "float32"]
    command += ["--host", "127.0.0.1", "--port", "{port}", "--enforce-eager"]
    compact = '{"backend": "xgrammar", "disable_any_whitespace": true}'
    return [*command, "--structured-outputs-config", compact]


def vllm_in_a_task(model: Path) -> dict[str, Any]:
    """Return `classifier.server` with vLLM for each task."""
    return {"command": vllm_command(model), "env": VLLM_ENV}


def vllm(model: Path, *arguments: str) -> RealServer:
    """Return a vLLM server."""
    return RealServer([*vllm_command(model), *arguments], startup=STARTUP_S, env=VLLM_ENV)


def transformers_serve(model: Path) -> RealServer:
    """Return a server of transformers. Without a model it would serve any that a request names."""
    command = [program("transformers"), "serve", str(model), "--host", "127.0.0.1"]
    return RealServer([*command, "--port", "{port}"], startup=STARTUP_S, env=OFFLINE)


def llama_server(model: Path) -> RealServer:
    """Return llama.cpp's own server, of a GGUF file."""
    command = [program("llama-server"), "--model", str(model), "--alias", "tiny"]
    command += ["--host", "127.0.0.1", "--port", "{port}", "--ctx-size", "16384", "--parallel", "4"]
    return RealServer([*command, "--threads", "1"], startup=STARTUP_S)
