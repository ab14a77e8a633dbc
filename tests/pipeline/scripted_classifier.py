"""A classifier that does what a test says and notes what it was asked, and its installation."""

import importlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import field

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.config.keys import key
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject, Post

KEY = "AIzaSy-very-secret"
FOREVER = 3600.0
HURRY = "hurry"


class ScriptedOptions(Options, frozen=True, kw_only=True):
    """`log`, a file of one line a post asked; `script`, a method's name; `seconds` that a post
    takes, unless a file HURRY lies beside the log; `gate`, a file without which nothing is
    answered; `answered`, after which it hangs; `deadly`, how the task dies at which uri;
    `at_once`, how many are in flight; `complaint`, of its service; `closed`, a file that gets a
    line when the task leaves, with how many rows are in parts by then; `shard_scripts`, a folder
    whose file <shard index> says what the shard's next attempts do (tests.hpc.scripted_tasks)."""

    log: str
    script: str = "label"
    seconds: float = 0.0
    gate: str | None = None
    answered: int | None = None
    deadly: Mapping[str, str] = field(default_factory=dict)
    at_once: int | None = None
    complaint: str = ""
    closed: Annotated[str | None, key("Changes no label, so a run may be corrected.")] = None
    shard_scripts: str = ""


class Scripted(Classifier[ScriptedOptions]):
    """Does what its options say."""

    options_type = ScriptedOptions

    columns = (Column("mood", "text"),)
    model = "scripted 1"
    needs_numpy = False
    secret = Secret(KEY)

    def __init__(self, options: ScriptedOptions, share: TaskShare) -> None:
        self._options = options
        self._log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @property
    def trouble(self) -> str:
        return self._options.complaint

    def close(self) -> None:
        if self._options.closed is not None:
            work = Path(self._options.log).parent.glob("**/work/00000/*.parquet")
            rows = sum(int(path.stem.rpartition("-")[2]) for path in work)
            with Path(self._options.closed).open("a") as file:
                file.write(f"closed:{rows}\n")

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if self._options.at_once is not None:
            # With all of HTTP, a fifth of the time of a small task that does not need it.
            concurrency = importlib.import_module("pipeline.service.concurrency")
            yield from concurrency.map_concurrently(posts, self._ask, limit=self._options.at_once)
            return
        script = getattr(self, self._options.script)
        for number, post in enumerate(posts):
            os.write(self._log, f"{post.uri}\n".encode())
            self._take_time()
            self.await_gate()
            if number == self._options.answered:
                time.sleep(FOREVER)
            self._die(post)
            yield from script(number, post)

    def _ask(self, post: Post, stop: threading.Event) -> Answer:
        os.write(self._log, f"{post.uri}\n".encode())
        self._take_time()
        self._die(post)
        return Answer(post.uri, {"mood": post.text})

    def await_gate(self) -> None:
        while self._options.gate is not None and not Path(self._options.gate).exists():
            time.sleep(0.01)

    def _take_time(self) -> None:
        end = time.monotonic() + self._options.seconds
        hurry = Path(self._options.log).with_name(HURRY)
        while (left := end - time.monotonic()) > 0 and not hurry.exists():
            time.sleep(min(left, 0.01))

    def _die(self, post: Post) -> None:
        match self._options.deadly.get(post.uri):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(9)
            case "raise":
                raise RuntimeError("this post is deadly")
            case "own":
                raise TaskError(Cause.CRASHED, "HTTP 500 (6 times)", blames_post=True)
            case "service":
                raise TaskError(Cause.CRASHED, "HTTP 503 (6 times)")
            case "leave":
                sys.exit("the library ended")
            case "memory":
                raise MemoryError("no more")

    def label(self, number: int, post: Post) -> Iterator[Answer]:
        yield Answer(post.uri, {"mood": post.text})

    def unknown(self, number: int, post: Post) -> Iterator[Answer]:
        yield Answer("at://nobody" if number == 2 else post.uri, {"mood": "x"})

    def twice(self, number: int, post: Post) -> Iterator[Answer]:
        yield from [Answer(post.uri, {"mood": "x"})] * (2 if number == 2 else 1)

    def missing(self, number: int, post: Post) -> Iterator[Answer]:
        if number not in (2, 3):
            yield Answer(post.uri, {"mood": "x"})

    def columns_of_another(self, number: int, post: Post) -> Iterator[Answer]:
        yield Answer(post.uri, {"mood" if number < 2 else "colour": "x"})

    def leak(self, number: int, post: Post) -> Iterator[Answer]:
        if number == 2:
            raise RuntimeError(f"GET /analyze?key={KEY} failed")
        yield Answer(post.uri, {"mood": "x"})

    def nothing(self, number: int, post: Post) -> Iterator[Answer]:
        yield Answer(post.uri, reason=f"invalid_answer: {post.text}")

    def quota(self, number: int, post: Post) -> Iterator[Answer]:
        if number == 2:
            raise TaskError(Cause.THROTTLED, "HTTP 429")
        yield Answer(post.uri, {"mood": "x"})


def install(folder: Path) -> Path:
    """A distribution that adds the classifier, as another package would; goes on the path."""
    info = folder / "site" / "scripted-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pipeline.classifiers]\nscripted = tests.pipeline.scripted_classifier:Scripted\n"
    )
    return info.parent


def options(folder: Path, **others: object) -> JsonObject:
    return {"type": "scripted", "log": str(folder / "asked.log"), **others}


def asked(folder: Path) -> Counter[str]:
    """How often each uri was asked, in all lives."""
    log = folder / "asked.log"
    return Counter(log.read_text().split() if log.exists() else [])
