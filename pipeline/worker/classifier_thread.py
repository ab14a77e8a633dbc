"""Run a classifier in a thread of its own, so that nothing it waits for delays a checkpoint."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, overload

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.model import Answer, Post

# Slurm's KillWait, 30 s by default, lies between SIGTERM and SIGKILL. A stopping task waits this
# long for answers that are under way, and has the rest of the time to write the last part.
DRAIN_SECONDS = 15.0
TICK_SECONDS = 0.1
# A classifier that is instant gets several posts at once, and its answers are kept together after
# this time. One by one, that took longer than a third of VADER's own work.
POSTS_TOGETHER, GROUP_SECONDS = 16, 0.01


class PostObserver(Protocol):
    """Watches the posts that a classifier takes and answers, from the classifier's thread."""

    def record_handed_out(self, uris: Sequence[str]) -> None:
        """Record that the classifier takes these posts."""

    def record_answered(self, answers: Sequence[Answer]) -> None:
        """Keep answers, before the classifier goes on.

        An error ends the classifier, and with it all answers that are under way.
        """


def classify_in_thread(
    classifier: Classifier[Options],
    posts: list[Post],
    stopping: threading.Event,
    observer: PostObserver,
    wake: threading.Event,
) -> Iterator[None]:
    """Yield until the classifier has ended: after every tick, and whenever `wake` is set.

    The ticks let the caller write a checkpoint while a slow service is silent. Once `stopping` is
    set, the classifier has DRAIN_SECONDS to end.

    Raises:
        BaseException: whatever the classifier raised.
    """
    if not posts:
        return
    thread = _ClassifierThread(classifier, posts, stopping, observer, wake)
    thread.start()
    try:
        yield from thread.ticks()
    finally:
        thread.abandon()


class _ClassifierThread:
    """One call of `classify` in a daemon thread."""

    def __init__(
        self,
        classifier: Classifier[Options],
        posts: list[Post],
        stopping: threading.Event,
        observer: PostObserver,
        wake: threading.Event,
    ) -> None:
        self._classifier = classifier
        together = POSTS_TOGETHER if classifier.is_instant else 1
        self._posts = _PostsUntilStopped(posts, stopping, observer, together)
        self._stopping = stopping
        self._observer = observer
        self._wake = wake
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._abandoned = False
        self._drain_until: float | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="classify", daemon=True).start()

    def abandon(self) -> None:
        """Let the thread end after its next answer: nobody waits for it any more."""
        self._abandoned = True

    def ticks(self) -> Iterator[None]:
        while not self._drain_is_over():
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()
            if self._ended.is_set():
                if self._error is not None:
                    raise self._error
                return
            yield

    def _drain_is_over(self) -> bool:
        if not self._stopping.is_set():
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + DRAIN_SECONDS
        return time.monotonic() > self._drain_until

    def _run(self) -> None:
        try:
            answers = self._classifier.classify(self._posts)
            seconds = GROUP_SECONDS if self._classifier.is_instant else 0.0
            for group in _in_groups(answers, seconds):
                # An answer does not wake the other thread. If it did, the two threads would hand
                # the interpreter to each other at every answer.
                self._observer.record_answered(group)
                if self._abandoned:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the task's own thread
            self._error = error
        self._ended.set()
        self._wake.set()


def _in_groups(answers: Iterable[Answer], seconds: float) -> Iterator[list[Answer]]:
    """Yield the answers of each span of this many seconds together; those before an error, too."""
    group: list[Answer] = []
    began = time.monotonic()
    iterator = iter(answers)
    while True:
        try:
            answer = next(iterator)
        except StopIteration:
            break
        except BaseException:
            if group:
                yield group
            raise
        group.append(answer)
        if not seconds or time.monotonic() - began >= seconds:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


class _PostsUntilStopped(Sequence[Post]):
    """Posts that run out when the task is to stop, so that the classifier asks about no more."""

    def __init__(
        self, posts: list[Post], stopping: threading.Event, observer: PostObserver, together: int
    ) -> None:
        self._posts = posts
        self._stopping = stopping
        self._observer = observer
        self._together = together

    def __len__(self) -> int:
        return len(self._posts)

    @overload
    def __getitem__(self, index: int) -> Post: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Post]: ...
    def __getitem__(self, index: int | slice) -> Post | Sequence[Post]:
        selected = self._posts[index]
        posts = [selected] if isinstance(selected, Post) else selected
        self._observer.record_handed_out([post.uri for post in posts])
        return selected

    def __iter__(self) -> Iterator[Post]:
        for start in range(0, len(self._posts), self._together):
            if self._stopping.is_set():
                return
            posts = self._posts[start : start + self._together]
            self._observer.record_handed_out([post.uri for post in posts])
            if self._stopping.is_set():  # it may have waited for the disk until then
                return
            yield from posts
