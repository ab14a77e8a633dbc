"""A classifier whose tasks fail, are refused or die, as the test has scripted for their shard."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post
from tests.pipeline.scripted_classifier import Scripted


class ShardScripted(Scripted):
    """`Scripted`, with a file per shard index in the folder `shard_scripts`.

    The file holds a word for each of the shard's first attempts: fail, refuse (stops the run),
    refuse-shard, or die. The attempt does so once the gate is open; without a word, it labels.
    """

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        folder = Path(self._options.shard_scripts)
        _append(folder / "alive", "+")
        try:
            self._act(folder / sys.argv[sys.argv.index("--shard-index") + 1])
            yield from super().classify(posts)
        finally:
            _append(folder / "alive", "-")

    def _act(self, script: Path) -> None:
        words = script.read_text().split() if script.exists() else []
        script.write_text(" ".join(words[1:]))
        if words:
            self.await_gate()
        match words[:1]:
            case ["fail"]:
                raise RuntimeError("this was scripted")
            case ["refuse"]:
                raise TaskError(Cause.REFUSED, "the service wants no more of this")
            case ["refuse-shard"]:
                raise TaskError(Cause.REFUSED, "no more of this one", stops_run=False)
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)


def most_at_once(shard_scripts: Path) -> int:
    """Return how many tasks were ever labeling at the same time."""
    alive = most = 0
    for sign in (shard_scripts / "alive").read_text().split():
        alive += 1 if sign == "+" else -1
        most = max(most, alive)
    return most


def _append(path: Path, word: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)
