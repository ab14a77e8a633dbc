"""Run a classifier in a thread of its own, so that nothing it waits for delays a checkpoint."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.model import Answer, Post

# Slurm's KillWait, 30 s by default, lies between SIGTERM and SIGKILL. A stopping task waits this
# long for answers that are under way, and has the rest of the time to write the last part.
DRAIN_SECONDS = 15.0
TICK_SECONDS = 0.5
POLL_SECONDS = 0.02
MAX_QUEUED = 10_000


class PostObserver(Protocol):
    """Watches the posts that a classifier takes and answers, from the classifier's thread."""

    def handed_out(self, uri: str) -> None:
        """Record that the classifier takes this post."""

    def answered(self, uri: str) -> None:
        """Record that the classifier has answered this post.

        Must not raise: an error here would lose this answer and all that are under way.
        """


def stream_answers(
    classifier: Classifier[Options],
    posts: list[Post],
    stopping: threading.Event,
    observer: PostObserver,
) -> Iterator[Answer | None]:
    """Yield the classifier's answers as they come, and None whenever none came for a tick.

    The ticks let the caller write a checkpoint while a slow service is silent. Once `stopping` is
    set, only answers that come within DRAIN_SECONDS are yielded.

    Raises:
        BaseException: whatever the classifier raised, after the answers that it gave before.
    """
    if not posts:
        return
    thread = _ClassifierThread(classifier, posts, stopping, observer)
    thread.start()
    try:
        yield from thread.answers()
    finally:
        thread.abandon()


class _ClassifierThread:
    """One call of `classify` in a daemon thread, and the queue of its answers."""

    def __init__(
        self,
        classifier: Classifier[Options],
        posts: list[Post],
        stopping: threading.Event,
        observer: PostObserver,
    ) -> None:
        self._classifier = classifier
        self._posts = _PostsUntilStopped(posts, stopping, observer)
        self._stopping = stopping
        self._observer = observer
        # The classifier's end is the last item: None, or the error that it raised.
        self._queue: deque[Answer | BaseException | None] = deque()
        self._ended = threading.Event()
        self._abandoned = threading.Event()
        self._drain_until: float | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="classify", daemon=True).start()

    def abandon(self) -> None:
        """Let the thread end at its next answer: nobody reads the queue any more."""
        self._abandoned.set()

    def answers(self) -> Iterator[Answer | None]:
        silent = 0.0
        while not self._drain_is_over():
            if self._queue:
                silent = 0.0
                item = self._queue.popleft()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
                continue
            # An answer does not wake this thread. If it did, the two threads would hand the
            # interpreter to each other at every answer, which cost valence a third of its speed.
            self._ended.wait(POLL_SECONDS)
            silent += POLL_SECONDS
            if silent >= TICK_SECONDS:
                silent = 0.0
                yield None

    def _drain_is_over(self) -> bool:
        """Also asked while answers come: a classifier that copied its posts never runs out."""
        if not self._stopping.is_set():
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + DRAIN_SECONDS
        return time.monotonic() > self._drain_until

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            for answer in self._classifier.classify(self._posts):
                self._observer.answered(answer.uri)
                self._wait_for_room()
                if self._abandoned.is_set():
                    return
                self._queue.append(answer)
        except BaseException as error:  # noqa: BLE001 - raised again in the task's own thread
            end = error
        self._queue.append(end)
        self._ended.set()

    def _wait_for_room(self) -> None:
        while len(self._queue) >= MAX_QUEUED and not self._abandoned.is_set():
            time.sleep(POLL_SECONDS)


class _PostsUntilStopped(Sequence[Post]):
    """Posts that run out when the task is to stop, so that the classifier asks about no more."""

    def __init__(
        self, posts: list[Post], stopping: threading.Event, observer: PostObserver
    ) -> None:
        self._posts = posts
        self._stopping = stopping
        self._observer = observer

    def __len__(self) -> int:
        return len(self._posts)

    @overload
    def __getitem__(self, index: int) -> Post: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Post]: ...
    def __getitem__(self, index: int | slice) -> Post | Sequence[Post]:
        selected = self._posts[index]
        for post in [selected] if isinstance(selected, Post) else selected:
            self._observer.handed_out(post.uri)
        return selected

    def __iter__(self) -> Iterator[Post]:
        for post in self._posts:
            if self._stopping.is_set():
                return
            self._observer.handed_out(post.uri)
            yield post
