import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from pipeline.classifiers.base import Classifier
from pipeline.config.section import Section
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post
from pipeline.worker import classifier_thread

POSTS = [Post(f"u{number}", "hello") for number in range(50)]


@dataclass
class Doing(Classifier):
    """A classifier that does as it is told."""

    classify_as: Callable[[Sequence[Post]], Iterator[Answer]]

    @classmethod
    def freeze(cls, section: Section) -> dict[str, object]:
        return {}

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        return self.classify_as(posts)


class Unwatched:
    def handed_out(self, uri: str) -> None: ...
    def answered(self, uri: str) -> None: ...


def answers(
    doing: Callable[[Sequence[Post]], Iterator[Answer]], stopping: threading.Event | None = None
) -> Iterator[Answer | None]:
    return classifier_thread.stream_answers(
        Doing(doing), POSTS, stopping or threading.Event(), Unwatched()
    )


def answer(post: Post) -> Answer:
    return Answer(post.uri, reason="x")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(classifier_thread, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(classifier_thread, "DRAIN_SECONDS", 0.1)
    yield
    for thread in threading.enumerate():
        if thread.name == "classify":
            thread.join(5)
            assert not thread.is_alive()


def test_answers_come_as_the_classifier_gives_them() -> None:
    found = [item for item in answers(lambda posts: map(answer, posts)) if item is not None]
    assert found == [answer(post) for post in POSTS]


def test_without_posts_a_classifier_is_not_started() -> None:
    def never(posts: Sequence[Post]) -> Iterator[Answer]:
        raise AssertionError

    assert (
        list(classifier_thread.stream_answers(Doing(never), [], threading.Event(), Unwatched()))
        == []
    )


def test_a_tick_passes_while_the_classifier_is_silent() -> None:
    asked = threading.Event()

    def slow(posts: Sequence[Post]) -> Iterator[Answer]:
        asked.wait()
        yield answer(posts[0])

    items = answers(slow)
    assert next(items) is None
    assert next(items) is None
    asked.set()
    assert [item for item in items if item is not None] == [answer(POSTS[0])]


@pytest.mark.parametrize("error", [TaskError(Cause.THROTTLED, "x"), SystemExit(3)])
def test_what_was_answered_before_an_error_comes_before_it(error: BaseException) -> None:
    def failing(posts: Sequence[Post]) -> Iterator[Answer]:
        yield from map(answer, posts[:3])
        raise error

    found: list[Answer | None] = []
    with pytest.raises(type(error)) as raised:
        for item in answers(failing):
            found.append(item)
    assert raised.value is error
    assert [item for item in found if item is not None] == [answer(post) for post in POSTS[:3]]


def test_a_classifier_is_given_no_more_posts_once_the_task_is_to_stop() -> None:
    stopping = threading.Event()

    def until_told(posts: Sequence[Post]) -> Iterator[Answer]:
        for number, post in enumerate(posts):
            if number == 4:
                stopping.set()
            yield answer(post)

    found = [item for item in answers(until_told, stopping) if item is not None]
    assert found == [answer(post) for post in POSTS[:5]]


def test_answers_under_way_are_waited_for_when_the_task_is_to_stop() -> None:
    stopping, arrived = threading.Event(), threading.Event()

    def in_flight(posts: Sequence[Post]) -> Iterator[Answer]:
        arrived.wait()
        yield answer(posts[0])

    items = answers(in_flight, stopping)
    stopping.set()
    assert next(items) is None
    arrived.set()
    assert [item for item in items if item is not None] == [answer(POSTS[0])]


def test_a_silent_classifier_is_left_when_the_drain_is_over() -> None:
    stopping, end = threading.Event(), threading.Event()

    def silent(posts: Sequence[Post]) -> Iterator[Answer]:
        end.wait()
        yield from ()

    stopping.set()
    assert set(answers(silent, stopping)) == {None}
    end.set()


def test_a_classifier_that_will_not_stop_is_left_when_the_drain_is_over() -> None:
    """One that copies or slices its posts never sees that they have run out: without an end to
    the drain, SIGKILL comes before the last part is written."""
    stopping = threading.Event()

    def stubborn(posts: Sequence[Post]) -> Iterator[Answer]:
        for turn in range(10_000):
            time.sleep(0.001)
            yield answer(posts[turn % len(posts)])

    stopping.set()
    started = time.monotonic()
    found = list(answers(stubborn, stopping))
    assert 0.1 <= time.monotonic() - started < 5
    assert 0 < len(found) < 5000


def test_a_task_that_leaves_ends_the_classifiers_thread() -> None:
    """The fixture sees to it that no such thread is left."""

    def endless(posts: Sequence[Post]) -> Iterator[Answer]:
        while True:
            yield answer(posts[0])

    items = answers(endless)
    assert next(items) == answer(POSTS[0])
    assert isinstance(items, Iterator)
    items.close()  # type: ignore[attr-defined]


def test_more_answers_than_fit_in_the_queue_all_come() -> None:
    posts = [Post(f"u{number}", "hello") for number in range(25_000)]
    doing = Doing(lambda given: map(answer, given))
    found = list(classifier_thread.stream_answers(doing, posts, threading.Event(), Unwatched()))
    assert [item.uri for item in found if item] == [post.uri for post in posts]
