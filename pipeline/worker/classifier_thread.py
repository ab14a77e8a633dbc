"""A classifier at work in a thread of its own, so that nothing it waits for delays a checkpoint."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from pipeline.classifiers.base import Classifier
from pipeline.model import Answer, Post

# Between SIGTERM and SIGKILL lies Slurm's KillWait, 30 s by default: answers that are on their
# way are waited for that long less what the last part takes to write.
DRAIN_SECONDS = 15.0
TICK_SECONDS = 0.5
LOOK_SECONDS = 0.02
MOST_WAITING = 10_000


class Watch(Protocol):
    """Told of each post and each answer in the classifier's own thread, as it passes. `answered`
    should raise nothing: that would cost the answer, and those under way."""

    def handed_out(self, uri: str) -> None: ...
    def answered(self, uri: str) -> None: ...


def answers(
    classifier: Classifier, posts: list[Post], stopping: threading.Event, watch: Watch
) -> Iterator[Answer | None]:
    """The classifier's answers, and None whenever none came for a tick, so that a slow service
    cannot hold up a checkpoint. After `stopping`, those that come within DRAIN_SECONDS."""
    if not posts:
        return
    arrived: deque[Answer | BaseException | None] = deque()
    left, ended = threading.Event(), threading.Event()

    def pump() -> None:
        end: BaseException | None = None
        try:
            for answer in classifier.classify(_UntilStopped(posts, stopping, watch)):
                watch.answered(answer.uri)
                while len(arrived) >= MOST_WAITING and not left.is_set():
                    time.sleep(LOOK_SECONDS)
                if left.is_set():
                    return
                arrived.append(answer)
        except BaseException as error:  # noqa: BLE001 - handed to the task's own thread, raised there
            end = error
        arrived.append(end)
        ended.set()

    threading.Thread(target=pump, name="classify", daemon=True).start()
    drained_by: float | None = None
    silent = 0.0
    try:
        while True:
            # Also while answers come: a classifier that copied its posts never sees them run out.
            if stopping.is_set():
                drained_by = drained_by or time.monotonic() + DRAIN_SECONDS
                if time.monotonic() > drained_by:
                    return
            if not arrived:
                # Not woken by each answer: the threads would hand the interpreter to and fro at
                # every one, which cost a third of the speed of valence.
                ended.wait(LOOK_SECONDS)
                silent += LOOK_SECONDS
                if silent >= TICK_SECONDS:
                    silent = 0.0
                    yield None
                continue
            silent = 0.0
            item = arrived.popleft()
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
