"""A classifier's answers come from a thread, with ticks while it is silent."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post
from pipeline.worker import classifier_thread

POSTS = [Post(f"u{number}", "hello") for number in range(50)]


@dataclass
class FunctionClassifier(Classifier[Options]):
    """A classifier that calls a function of the test."""

    classify_as: Callable[[Sequence[Post]], Iterator[Answer]]

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        return self.classify_as(posts)


class NoObserver:
    """Observes nothing."""

    def handed_out(self, uri: str) -> None: ...
    def answered(self, uri: str) -> None: ...


def stream(
    classify: Callable[[Sequence[Post]], Iterator[Answer]], stopping: threading.Event | None = None
) -> Iterator[Answer | None]:
    return classifier_thread.stream_answers(
        FunctionClassifier(classify), POSTS, stopping or threading.Event(), NoObserver()
    )


def answer(post: Post) -> Answer:
    return Answer(post.uri, reason="x")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(classifier_thread, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(classifier_thread, "DRAIN_SECONDS", 0.1)
    yield
    for thread in threading.enumerate():
        if thread.name == "classify":
            thread.join(5)
            assert not thread.is_alive()


def test_answers_are_yielded_in_the_classifiers_order() -> None:
    found = [item for item in stream(lambda posts: map(answer, posts)) if item is not None]
    assert found == [answer(post) for post in POSTS]


def test_a_classifier_without_posts_is_not_started() -> None:
    def never(posts: Sequence[Post]) -> Iterator[Answer]:
        raise AssertionError

    assert (
        list(
            classifier_thread.stream_answers(
                FunctionClassifier(never), [], threading.Event(), NoObserver()
            )
        )
        == []
    )


def test_ticks_are_yielded_while_the_classifier_is_silent() -> None:
    asked = threading.Event()

    def slow(posts: Sequence[Post]) -> Iterator[Answer]:
        asked.wait()
        yield answer(posts[0])

    items = stream(slow)
    assert next(items) is None
    assert next(items) is None
    asked.set()
    assert [item for item in items if item is not None] == [answer(POSTS[0])]


@pytest.mark.parametrize("error", [TaskError(Cause.THROTTLED, "x"), SystemExit(3)])
def test_answers_before_an_error_are_yielded_before_it_is_raised(error: BaseException) -> None:
    def failing(posts: Sequence[Post]) -> Iterator[Answer]:
        yield from map(answer, posts[:3])
        raise error

    found: list[Answer | None] = []
    with pytest.raises(type(error)) as raised:
        for item in stream(failing):
            found.append(item)
    assert raised.value is error
    assert [item for item in found if item is not None] == [answer(post) for post in POSTS[:3]]


def test_a_classifier_gets_no_more_posts_once_the_task_is_to_stop() -> None:
    stopping = threading.Event()

    def stopped_at_the_fifth(posts: Sequence[Post]) -> Iterator[Answer]:
        for number, post in enumerate(posts):
            if number == 4:
                stopping.set()
            yield answer(post)

    found = [item for item in stream(stopped_at_the_fifth, stopping) if item is not None]
    assert found == [answer(post) for post in POSTS[:5]]


def test_a_stopping_task_waits_for_answers_under_way() -> None:
    stopping, arrived = threading.Event(), threading.Event()

    def in_flight(posts: Sequence[Post]) -> Iterator[Answer]:
        arrived.wait()
        yield answer(posts[0])

    items = stream(in_flight, stopping)
    stopping.set()
    assert next(items) is None
    arrived.set()
    assert [item for item in items if item is not None] == [answer(POSTS[0])]


def test_a_stopping_task_leaves_a_silent_classifier_after_the_drain() -> None:
    stopping, end = threading.Event(), threading.Event()

    def silent(posts: Sequence[Post]) -> Iterator[Answer]:
        end.wait()
        yield from ()

    stopping.set()
    assert set(stream(silent, stopping)) == {None}
    end.set()


def test_a_stopping_task_leaves_a_classifier_that_never_stops_after_the_drain() -> None:
    """A classifier that copies or slices its posts never runs out of them.

    If the drain had no end, SIGKILL would come before the last part is written.
    """
    stopping = threading.Event()

    def stubborn(posts: Sequence[Post]) -> Iterator[Answer]:
        for turn in range(10_000):
            time.sleep(0.001)
            yield answer(posts[turn % len(posts)])

    stopping.set()
    items = list(stream(stubborn, stopping))
    assert 0 < len(items) < 10_000


def test_closing_the_stream_ends_the_classifiers_thread() -> None:
    """The fixture checks that no thread is left."""

    def endless(posts: Sequence[Post]) -> Iterator[Answer]:
        while True:
            yield answer(posts[0])

    items = stream(endless)
    assert next(items) == answer(POSTS[0])
    assert isinstance(items, Iterator)
    items.close()  # type: ignore[attr-defined]


def test_more_answers_than_fit_in_the_queue_are_all_yielded() -> None:
    posts = [Post(f"u{number}", "hello") for number in range(25_000)]
    classifier = FunctionClassifier(lambda posts: map(answer, posts))
    items = list(
        classifier_thread.stream_answers(classifier, posts, threading.Event(), NoObserver())
    )
    assert [item.uri for item in items if item] == [post.uri for post in posts]
