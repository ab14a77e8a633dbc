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
from tests.waiting import PATIENCE_S

POSTS = [Post(f"u{number}", "hello") for number in range(50)]


@dataclass
class FunctionClassifier(Classifier[Options]):
    """A classifier that calls a function of the test."""

    classify_as: Callable[[Sequence[Post]], Iterator[Answer]]

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        return self.classify_as(posts)


class InstantClassifier(FunctionClassifier):
    is_instant = True


class Kept(list[Answer]):
    """Keeps the answers, and which posts were taken together."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[list[str]] = []

    def record_handed_out(self, uris: Sequence[str]) -> None:
        self.taken.append(list(uris))

    def record_answered(self, answers: Sequence[Answer]) -> None:
        self.extend(answers)


def run(
    classify: Callable[[Sequence[Post]], Iterator[Answer]],
    stopping: threading.Event | None = None,
    kept: Kept | None = None,
    wake: threading.Event | None = None,
    kind: type[FunctionClassifier] = FunctionClassifier,
) -> Iterator[None]:
    return classifier_thread.classify_in_thread(
        kind(classify),
        POSTS,
        stopping or threading.Event(),
        Kept() if kept is None else kept,
        wake or threading.Event(),
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
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_answers_are_kept_in_the_classifiers_order() -> None:
    kept = Kept()
    list(run(lambda posts: map(answer, posts), kept=kept))
    assert kept == [answer(post) for post in POSTS]


def test_a_classifier_without_posts_is_not_started() -> None:
    def never(posts: Sequence[Post]) -> Iterator[Answer]:
        raise AssertionError

    ticks = classifier_thread.classify_in_thread(
        FunctionClassifier(never), [], threading.Event(), Kept(), threading.Event()
    )
    assert list(ticks) == []


def test_ticks_come_while_the_classifier_is_silent() -> None:
    asked = threading.Event()

    def slow(posts: Sequence[Post]) -> Iterator[Answer]:
        asked.wait()
        yield answer(posts[0])

    kept = Kept()
    ticks = run(slow, kept=kept)
    next(ticks)
    next(ticks)
    assert kept == []
    asked.set()
    assert set(ticks) <= {None}
    assert kept == [answer(POSTS[0])]


def test_a_tick_comes_at_once_when_there_is_something_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier_thread, "TICK_SECONDS", 3600.0)
    wake, end = threading.Event(), threading.Event()

    def silent(posts: Sequence[Post]) -> Iterator[Answer]:
        wake.set()
        end.wait()
        yield from ()

    ticks = run(silent, wake=wake)
    next(ticks)
    end.set()
    assert list(ticks) == []


@pytest.mark.parametrize("kind", [FunctionClassifier, InstantClassifier])
@pytest.mark.parametrize("error", [TaskError(Cause.THROTTLED, "x"), SystemExit(3)])
def test_answers_before_an_error_are_kept_before_it_is_raised(
    error: BaseException, kind: type[FunctionClassifier]
) -> None:
    def failing(posts: Sequence[Post]) -> Iterator[Answer]:
        yield from map(answer, posts[:3])
        raise error

    kept = Kept()
    with pytest.raises(type(error)) as raised:
        list(run(failing, kept=kept, kind=kind))
    assert raised.value is error
    assert kept == [answer(post) for post in POSTS[:3]]


def test_an_answer_is_kept_before_the_classifier_goes_on() -> None:
    """What the classifier asks next must not add to what a crash costs."""
    kept = Kept()
    kept_before: list[int] = []

    def counting(posts: Sequence[Post]) -> Iterator[Answer]:
        for post in posts:
            kept_before.append(len(kept))
            yield answer(post)

    list(run(counting, kept=kept))
    assert kept_before == list(range(len(POSTS)))
    assert kept.taken == [[post.uri] for post in POSTS]


def test_an_instant_classifiers_posts_and_answers_are_recorded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier_thread, "GROUP_SECONDS", 3600.0)
    kept = Kept()
    kept_before: list[int] = []

    def counting(posts: Sequence[Post]) -> Iterator[Answer]:
        for post in posts:
            kept_before.append(len(kept))
            yield answer(post)

    list(run(counting, kept=kept, kind=InstantClassifier))
    assert set(kept_before) == {0}
    assert kept == [answer(post) for post in POSTS]
    uris = [post.uri for post in POSTS]
    assert kept.taken == [uris[:16], uris[16:32], uris[32:48], uris[48:]]


def test_an_instant_classifiers_answers_wait_no_longer_than_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier_thread, "GROUP_SECONDS", 1e-9)
    kept = Kept()
    kept_before: list[int] = []

    def counting(posts: Sequence[Post]) -> Iterator[Answer]:
        for post in posts:
            kept_before.append(len(kept))
            yield answer(post)

    list(run(counting, kept=kept, kind=InstantClassifier))
    assert kept_before == list(range(len(POSTS)))


def test_a_classifier_gets_no_more_posts_once_the_task_is_to_stop() -> None:
    stopping = threading.Event()

    def stopped_at_the_fifth(posts: Sequence[Post]) -> Iterator[Answer]:
        for number, post in enumerate(posts):
            if number == 4:
                stopping.set()
            yield answer(post)

    kept = Kept()
    list(run(stopped_at_the_fifth, stopping, kept))
    assert kept == [answer(post) for post in POSTS[:5]]


def test_a_stopping_task_waits_for_answers_under_way() -> None:
    stopping, arrived = threading.Event(), threading.Event()

    def in_flight(posts: Sequence[Post]) -> Iterator[Answer]:
        arrived.wait()
        yield answer(posts[0])

    kept = Kept()
    ticks = run(in_flight, stopping, kept)
    stopping.set()
    next(ticks)
    arrived.set()
    list(ticks)
    assert kept == [answer(POSTS[0])]


def test_a_stopping_task_leaves_a_silent_classifier_after_the_drain() -> None:
    stopping, end = threading.Event(), threading.Event()

    def silent(posts: Sequence[Post]) -> Iterator[Answer]:
        end.wait()
        yield from ()

    stopping.set()
    assert set(run(silent, stopping)) == {None}
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
    kept = Kept()
    list(run(stubborn, stopping, kept))
    assert 0 < len(kept) < 10_000


def test_closing_ends_the_classifiers_thread() -> None:
    """The fixture checks that no thread is left."""

    def endless(posts: Sequence[Post]) -> Iterator[Answer]:
        while True:
            yield answer(posts[0])

    ticks = run(endless)
    next(ticks)
    assert isinstance(ticks, Iterator)
    ticks.close()  # type: ignore[attr-defined]
