"""Run llama-cpp-python's server, which starts within seconds with any GGUF file."""

from __future__ import annotations

import sys
from pathlib import Path

from .real_server import RealServer

STARTUP_S = 60.0  # 2 to 3 s on an idle machine, most of it imports


class LlamaServer(RealServer):
    """llama-cpp-python's server, with `arguments` such as `"--logits_all", "true"` if need be."""

    def __init__(self, model: Path, *arguments: str, context: int = 4096) -> None:
        self.model = model
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model)]
        command += ["--host", "127.0.0.1", "--port", "{port}", "--n_ctx", str(context)]
        super().__init__([*command, *arguments], startup=STARTUP_S)
