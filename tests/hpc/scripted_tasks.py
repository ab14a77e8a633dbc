"""The scripted classifier as a configuration names it: its keys, and what its first lives do."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post
from tests.pipeline.scripted_classifier import Scripted


class Told(Scripted):
    """Does what the next word of its shard's file says, once the gate is open, one word a life,
    before it goes on as the script says."""

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        folder = Path(self._options.words)
        _append(folder / "alive", "+")
        try:
            self._live(folder / sys.argv[sys.argv.index("--shard-index") + 1])
            yield from super().classify(posts)
        finally:
            _append(folder / "alive", "-")

    def _live(self, script: Path) -> None:
        words = script.read_text().split() if script.exists() else []
        script.write_text(" ".join(words[1:]))
        if words:
            self.await_gate()
        match words[:1]:
            case ["fail"]:
                raise RuntimeError("this was scripted")
            case ["refuse"]:
                raise TaskError(Cause.REFUSED, "the service wants no more of this")
            case ["sulk"]:  # about this shard only
                raise TaskError(Cause.REFUSED, "no more of this one", stops_run=False)
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)


def most_at_once(words: Path) -> int:
    """How many tasks were ever labelling at the same time."""
    alive = most = 0
    for sign in (words / "alive").read_text().split():
        alive += 1 if sign == "+" else -1
        most = max(most, alive)
    return most


def _append(path: Path, word: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)
