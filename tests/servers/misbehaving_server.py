"""Serve a model, or misbehave on demand: `python -m tests.servers.misbehaving_server`.

To a task it is what vLLM is: a command that serves on a port, or does not.
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


class MisbehavingServer(OpenAIStub):
    """Answers every post, except a deadly one; `health` is the status of /health.

    `folder/asked` gets a line for each post: what the request's last message holds.
    """

    def __init__(self, port: int, folder: Path, *, health: int, after_s: float = 0.0) -> None:
        super().__init__(self.label, port=port)
        self._asked = folder / "asked"
        self.health = health
        self._ready_at = time.monotonic() + after_s

    def respond(self, request: Request) -> Reply:
        if time.monotonic() < self._ready_at:
            return Reply(status=503)
        if (request.method, request.path) == ("GET", "/health"):
            return Reply(status=self.health)
        return super().respond(request)

    def label(self, body: dict[str, Any], nth: int) -> Reply:
        content = body["messages"][-1]["content"]
        with self.lock, self._asked.open("a", buffering=1) as asked:
            asked.write(json.dumps(content) + "\n")
        if DEADLY in content:
            print("an illegal memory access was encountered", flush=True)
            os._exit(0)  # as vLLM does when its engine core dies (vllm#48966)
        return completion(ANSWER)


def main() -> None:
    """Do what the next word of `folder/script` says; without a word, serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options, rest = parser.parse_known_args()
    script = options.folder / "script"
    words = script.read_text().split() if script.exists() else []
    script.write_text(" ".join(words[1:]))
    with (options.folder / "starts").open("a") as starts:
        seen = {"pid": os.getpid(), "port": options.port, "rest": rest, "env": dict(os.environ),
                "ignored": [number.name for number in STEP_SIGNALS
                            if signal.getsignal(number) is signal.SIG_IGN]}  # fmt: skip
        starts.write(json.dumps(seen) + "\n")
    act(words[0] if words else "serve", options)


def act(word: str, options: argparse.Namespace) -> None:
    """Do what the word says, then serve."""
    print(f"this start: {word}", flush=True)
    fail(word)
    burden(word, options)
    if word == "silent":
        time.sleep(600)  # alive, and does not listen
    if word == "polite":
        try:
            socket.create_server(("127.0.0.1", options.port)).close()
        except OSError:
            time.sleep(600)
    health = {"never": 503, "no-health": 404}.get(word, 200)
    after_s = 2.0 if word == "slow" else 0.0
    with MisbehavingServer(options.port, options.folder, health=health, after_s=after_s):
        time.sleep(600)


def fail(word: str) -> None:
    """End at once, as a server does that cannot start."""
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


def burden(word: str, options: argparse.Namespace) -> None:
    """Use memory, start children, or ignore SIGTERM."""
    match word:
        case "hog":
            hog = bytearray(2000 << 20)
            print(f"{len(hog)} bytes were there")
        case "fork":
            # One child in this process group, and one that has left it.
            for start_new_session in (False, True):
                subprocess.Popen(
                    [sys.executable, "-c", "import time; time.sleep(600)", str(options.folder)],
                    start_new_session=start_new_session,
                )
        case "stubborn-child":
            # Inherited, so that the child ignores it from its first moment.
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
            subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(600)", str(options.folder)]
            )
            signal.signal(signal.SIGTERM, before)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main()
