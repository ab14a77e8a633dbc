"""An engine that misbehaves on demand, as a program: `python -m tests.servers.engine_program`.

It is what vLLM and its kin are to a task: a command that serves on a port, or does not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .http import Reply, Request
from .openai_stub import OpenAIStub, completion

ANSWER = '{"civic": true}'
DEADLY = "deadly"
# What Slurm sends to a step, on some clusters to all its processes.
STEP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
    "capacity of 44.40 GiB of which 1.31 GiB is free."
)


class Engine(OpenAIStub):
    """`health`: the status of /health."""

    def __init__(self, port: int, *, health: int, after_s: float = 0.0) -> None:
        super().__init__(self.label, port=port)
        self.health = health
        self._ready_at = time.monotonic() + after_s

    def respond(self, request: Request) -> Reply:
        if time.monotonic() < self._ready_at:
            return Reply(status=503)
        if (request.method, request.path) == ("GET", "/health"):
            return Reply(status=self.health)
        return super().respond(request)

    def label(self, body: dict[str, Any], nth: int) -> Reply:
        if DEADLY in body["messages"][-1]["content"]:
            print("an illegal memory access was encountered", flush=True)
            os._exit(0)  # as vLLM does when its engine dies (vllm#48966)
        return completion(ANSWER)


def main() -> None:
    """The next word of `folder/script` says what this start does; without one, it serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given, rest = parser.parse_known_args()
    script = given.folder / "script"
    words = script.read_text().split() if script.exists() else []
    script.write_text(" ".join(words[1:]))
    with (given.folder / "starts").open("a") as starts:
        seen = {"pid": os.getpid(), "port": given.port, "rest": rest, "env": dict(os.environ),
                "ignored": [one.name for one in STEP_SIGNALS
                            if signal.getsignal(one) is signal.SIG_IGN]}  # fmt: skip
        starts.write(json.dumps(seen) + "\n")
    act(words[0] if words else "serve", given)


def act(word: str, given: argparse.Namespace) -> None:
    print(f"this start: {word}", flush=True)
    match word:
        case "die":
            print("ValueError: unknown architecture", file=sys.stderr, flush=True)
            sys.exit(3)
        case "memory":
            print(OUT_OF_MEMORY, "RuntimeError: Engine core failed", sep="\n", flush=True)
            sys.exit(1)
        case "bind":
            print("ERROR: [Errno 98] error while attempting to bind: address already in use")
            sys.exit(1)
        case "hog":
            hog = bytearray(2000 << 20)
            print(f"{len(hog)} bytes were there")
        case "fork":
            # One in its group, one that has left it.
            for own in (False, True):
                subprocess.Popen(
                    [sys.executable, "-c", "import time; time.sleep(600)", str(given.folder)],
                    start_new_session=own,
                )
        case "stubborn-child":
            ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
            subprocess.Popen([sys.executable, "-c", ignores, str(given.folder)])
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "silent":
            time.sleep(600)  # alive, and does not listen
        case "polite":
            try:
                socket.create_server(("127.0.0.1", given.port)).close()
            except OSError:
                time.sleep(600)
    health = {"never": 503, "no-health": 404}.get(word, 200)
    with Engine(given.port, health=health, after_s=2.0 if word == "slow" else 0.0):
        time.sleep(600)


if __name__ == "__main__":
    main()
