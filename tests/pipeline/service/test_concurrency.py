"""Many posts asked at once: nobody waits for the slowest, nothing paid for is lost."""

import threading
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import Answer, Post
from pipeline.service.concurrency import in_flight
from pipeline.service.endpoint import Stopped

PATIENCE_S = 10.0  # of a test that hangs because the code is wrong


def posts(count: int) -> list[Post]:
    return [Post(f"at://{number}", str(number)) for number in range(count)]


def echo(post: Post, stop: threading.Event) -> Answer:
    return Answer(post.uri, {"text": post.text})


class Fault(Exception):
    pass


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 20))
def test_every_post_is_answered_once(count: int, limit: int) -> None:
    found = list(in_flight(posts(count), echo, limit=limit))
    assert sorted(answer.uri for answer in found) == sorted(post.uri for post in posts(count))
    assert all(answer.values == {"text": answer.uri[5:]} for answer in found)


def test_hundreds_are_asked_at_the_same_time() -> None:
    """Each waits until all 300 are in flight, which would never be with fewer at once."""
    together = threading.Barrier(300, timeout=PATIENCE_S)

    def ask(post: Post, stop: threading.Event) -> Answer:
        together.wait()
        return echo(post, stop)

    assert len(list(in_flight(posts(600), ask, limit=300))) == 600


def test_never_more_than_the_limit_are_asked_at_the_same_time() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def ask(post: Post, stop: threading.Event) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with lock:
            now -= 1
        return echo(post, stop)

    assert len(list(in_flight(posts(200), ask, limit=7))) == 200
    assert most <= 7


def test_a_slow_post_does_not_hold_up_the_others() -> None:
    """The first is answered only when the 99 others have come out."""
    slow = threading.Event()

    def ask(post: Post, stop: threading.Event) -> Answer:
        if post.text == "0":
            assert slow.wait(PATIENCE_S)
        return echo(post, stop)

    answers = in_flight(posts(100), ask, limit=2)
    assert {answer.uri for answer in islice(answers, 99)} == {p.uri for p in posts(100)[1:]}
    slow.set()
    assert [answer.uri for answer in answers] == ["at://0"]


def test_posts_are_taken_only_when_there_is_room_for_them() -> None:
    """A task that is told to stop has its posts run out: none may be taken in advance."""
    taken = 0

    class Counted(list[Post]):
        def __iter__(self) -> Iterator[Post]:
            nonlocal taken
            for post in super().__iter__():
                taken += 1
                yield post

    answers = in_flight(Counted(posts(100)), echo, limit=4)
    for come in range(1, 51):
        next(answers)
        assert taken <= come + 4
    answers.close()  # type: ignore[attr-defined]


def test_after_a_fault_what_is_in_flight_is_still_yielded_and_nothing_new_is_asked() -> None:
    """Three are in flight when the first fails: two more answers, paid for, then the fault."""
    three = threading.Barrier(3, timeout=PATIENCE_S)
    asked: list[str] = []

    def ask(post: Post, stop: threading.Event) -> Answer:
        asked.append(post.text)
        three.wait()
        if post.text == "0":
            raise Fault("the service has gone")
        assert stop.wait(PATIENCE_S)  # the others learn of it while they wait
        return echo(post, stop)

    answers = in_flight(posts(100), ask, limit=3)
    assert sorted([next(answers).uri, next(answers).uri]) == ["at://1", "at://2"]
    with pytest.raises(Fault, match=r"^the service has gone$"):
        next(answers)
    assert sorted(asked) == ["0", "1", "2"]


def test_a_fault_of_the_posts_themselves_loses_no_answer_that_is_in_flight() -> None:
    """Each post is noted before it is asked, and the disk may be full by the fifth."""
    asked: list[str] = []

    def noted() -> Iterator[Post]:
        yield from posts(4)
        raise Fault("No space left on device")

    def ask(post: Post, stop: threading.Event) -> Answer:
        assert stop.wait(PATIENCE_S)
        asked.append(post.uri)
        return echo(post, stop)

    found: list[str] = []
    with pytest.raises(Fault, match=r"^No space left on device$"):
        for answer in in_flight(noted(), ask, limit=8):
            found.append(answer.uri)
    assert sorted(found) == sorted(asked) == ["at://0", "at://1", "at://2", "at://3"]


def test_the_first_of_several_faults_is_the_one_that_is_raised() -> None:
    second = threading.Event()

    def ask(post: Post, stop: threading.Event) -> Answer:
        if post.text == "1":
            assert stop.wait(PATIENCE_S)
            second.set()
            raise Fault("ended because of the first")
        raise Fault("the first")

    with pytest.raises(Fault, match=r"^the first$"):
        list(in_flight(posts(2), ask, limit=2))
    assert second.is_set()


def test_an_asker_that_waits_is_told_when_nobody_wants_the_answers_any_more() -> None:
    told, both = threading.Event(), threading.Barrier(2, timeout=PATIENCE_S)

    def ask(post: Post, stop: threading.Event) -> Answer:
        both.wait()
        if post.text == "0":
            return echo(post, stop)
        assert stop.wait(PATIENCE_S)
        told.set()
        return echo(post, stop)

    answers = in_flight(posts(2), ask, limit=2)
    assert next(answers).uri == "at://0"
    answers.close()  # type: ignore[attr-defined]
    assert told.wait(PATIENCE_S)


@settings(deadline=None)
@given(st.sets(st.integers(0, 39)), st.integers(1, 10))
def test_with_faults_anywhere_no_answer_is_lost_or_made_up(bad: set[int], limit: int) -> None:
    answered: list[str] = []
    lock = threading.Lock()

    def ask(post: Post, stop: threading.Event) -> Answer:
        if int(post.text) in bad:
            raise Fault(post.text)
        with lock:
            answered.append(post.uri)
        return echo(post, stop)

    found: list[str] = []
    try:
        for answer in in_flight(posts(40), ask, limit=limit):
            found.append(answer.uri)
    except Fault as fault:
        assert int(str(fault)) in bad
    else:
        assert not bad
    assert sorted(found) == sorted(answered)


def test_a_task_that_is_told_to_stop_sends_nothing_more_and_takes_what_is_on_its_way() -> None:
    """Two wait for their turn of a quota, one for its answer; 97 were not asked yet."""
    stopping, sent = threading.Event(), threading.Event()

    def ask(post: Post, stop: threading.Event) -> Answer:
        if post.text != "0":
            assert stop.wait(PATIENCE_S)
            raise Stopped
        sent.set()
        assert stopping.wait(PATIENCE_S) and stop.wait(PATIENCE_S)
        return echo(post, stop)

    answers = in_flight(posts(100), ask, limit=3, stopping=stopping)
    telling = threading.Thread(target=lambda: sent.wait(PATIENCE_S) and stopping.set())
    telling.start()
    assert [answer.uri for answer in answers] == ["at://0"]
    telling.join()
