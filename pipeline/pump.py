"""A classifier at work in a thread of its own, so that nothing it waits for delays a checkpoint."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from pipeline.classifiers.base import Classifier
from pipeline.model import Answer, Post

# Between SIGTERM and SIGKILL lies Slurm's KillWait, 30 s by default: answers that are on their
# way are waited for that long less what the last part takes to write.
DRAIN_SECONDS = 15.0
TICK_SECONDS = 0.5


class Watch(Protocol):
    """Told of each post and each answer in the classifier's own thread, as it passes."""

    def handed_out(self, uri: str) -> None: ...
    def answered(self, uri: str) -> None: ...


def answers(
    classifier: Classifier, posts: list[Post], stopping: threading.Event, watch: Watch
) -> Iterator[Answer | None]:
    """The classifier's answers, and None whenever none came for a tick, so that a slow service
    cannot hold up a checkpoint. After `stopping`, those that come within DRAIN_SECONDS."""
    if not posts:
        return
    arrived: queue.Queue[Answer | BaseException | None] = queue.Queue(maxsize=10_000)
    left = threading.Event()

    def put(item: Answer | BaseException | None) -> bool:
        while not left.is_set():
            try:
                arrived.put(item, timeout=TICK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def pump() -> None:
        end: BaseException | None = None
        try:
            for answer in classifier.classify(_UntilStopped(posts, stopping, watch)):
                watch.answered(answer.uri)
                if not put(answer):
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the task's own thread, raised there
            end = error
        put(end)

    threading.Thread(target=pump, name="classify", daemon=True).start()
    drained_by: float | None = None
    try:
        while True:
            # Also while answers come: a classifier that copied its posts never sees them run out.
            if stopping.is_set():
                drained_by = drained_by or time.monotonic() + DRAIN_SECONDS
                if time.monotonic() > drained_by:
                    return
            try:
                item = arrived.get(timeout=TICK_SECONDS)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()


class _UntilStopped(Sequence[Post]):
    """Posts that run out when the task is told to stop: a classifier then asks no more of them."""

    def __init__(self, posts: list[Post], stopping: threading.Event, watch: Watch) -> None:
        self._posts = posts
        self._stopping = stopping
        self._watch = watch

    def __len__(self) -> int:
        return len(self._posts)

    @overload
    def __getitem__(self, at: int) -> Post: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Post]: ...
    def __getitem__(self, at: int | slice) -> Post | Sequence[Post]:
        taken = self._posts[at]
        for post in [taken] if isinstance(taken, Post) else taken:
            self._watch.handed_out(post.uri)
        return taken

    def __iter__(self) -> Iterator[Post]:
        for post in self._posts:
            if self._stopping.is_set():
                return
            self._watch.handed_out(post.uri)
            yield post
