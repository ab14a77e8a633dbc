"""Many requests in flight: a slow one delays no other, and no result that was paid for is lost."""

import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import Answer, Post
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Stopped

HANG_SECONDS = 10.0  # after which a test that hangs because the code is wrong fails


def posts(count: int) -> list[Post]:
    return [Post(f"at://{number}", str(number)) for number in range(count)]


def echo(post: Post, stop: threading.Event) -> Answer:
    return Answer(post.uri, {"text": post.text})


class Fault(Exception):
    pass


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 20))
def test_every_post_has_exactly_one_result(count: int, limit: int) -> None:
    answers = list(map_concurrently(posts(count), echo, limit=limit))
    assert sorted(answer.uri for answer in answers) == sorted(post.uri for post in posts(count))
    assert all(answer.values == {"text": answer.uri[5:]} for answer in answers)


def test_hundreds_of_requests_are_in_flight_at_the_same_time() -> None:
    """Each waits until all 300 are in flight, which never happens with fewer at once."""
    together = threading.Barrier(300, timeout=HANG_SECONDS)

    def send(post: Post, stop: threading.Event) -> Answer:
        together.wait()
        return echo(post, stop)

    assert len(list(map_concurrently(posts(600), send, limit=300))) == 600


def test_no_more_requests_than_the_limit_are_in_flight() -> None:
    lock, current, highest = threading.Lock(), 0, 0

    def send(post: Post, stop: threading.Event) -> Answer:
        nonlocal current, highest
        with lock:
            current += 1
            highest = max(highest, current)
        with lock:
            current -= 1
        return echo(post, stop)

    assert len(list(map_concurrently(posts(200), send, limit=7))) == 200
    assert highest <= 7


@pytest.mark.parametrize(("waiting", "in_flight"), [(0, 3), (2, 5), (3, 6), (99, 6)])
def test_items_that_wait_take_no_others_place_up_to_the_limit(waiting: int, in_flight: int) -> None:
    """Each waits until as many are in flight as there may be; one more would be taken too early."""
    together = threading.Barrier(in_flight, timeout=HANG_SECONDS)
    lock, current, highest = threading.Lock(), 0, 0

    def send(post: Post, stop: threading.Event) -> Answer:
        nonlocal current, highest
        with lock:
            current += 1
            highest = max(highest, current)
        together.wait()
        with lock:
            current -= 1
        return echo(post, stop)

    count = 10 * in_flight
    answers = map_concurrently(posts(count), send, limit=3, waiting=lambda: waiting)
    assert (len(list(answers)), highest) == (count, in_flight)


def test_a_slow_request_does_not_delay_the_others() -> None:
    """The first is answered only after the results of the 99 others have been yielded."""
    slow = threading.Event()

    def send(post: Post, stop: threading.Event) -> Answer:
        if post.text == "0":
            assert slow.wait(HANG_SECONDS)
        return echo(post, stop)

    answers = map_concurrently(posts(100), send, limit=2)
    assert {answer.uri for answer in islice(answers, 99)} == {p.uri for p in posts(100)[1:]}
    slow.set()
    assert [answer.uri for answer in answers] == ["at://0"]


def test_a_post_is_taken_only_when_there_is_room_to_send_it() -> None:
    """A post that has been taken counts as in flight, so none may be taken in advance."""
    taken = 0

    class Counted(list[Post]):
        def __iter__(self) -> Iterator[Post]:
            nonlocal taken
            for post in super().__iter__():
                taken += 1
                yield post

    answers = map_concurrently(Counted(posts(100)), echo, limit=4)
    for yielded in range(1, 51):
        next(answers)
        assert taken <= yielded + 4
    answers.close()  # type: ignore[attr-defined]


def test_a_requeued_post_is_sent_before_the_next_new_one() -> None:
    sent: list[str] = []
    requeued: deque[Post] = deque()

    def send(post: Post, stop: threading.Event) -> Answer:
        sent.append(post.text)
        if post.text == "0":
            requeued.append(Post("at://again", "again"))
        return echo(post, stop)

    list(map_concurrently(posts(3), send, limit=1, requeued=requeued))
    assert sent == ["0", "again", "1", "2"]


def test_after_a_failure_paid_results_are_yielded_and_nothing_new_is_sent() -> None:
    """Three are in flight when the first fails: two more results come, then the failure."""
    three = threading.Barrier(3, timeout=HANG_SECONDS)
    sent: list[str] = []

    def send(post: Post, stop: threading.Event) -> Answer:
        sent.append(post.text)
        three.wait()
        if post.text == "0":
            raise Fault("the service has gone")
        assert stop.wait(HANG_SECONDS)  # the others learn of it while they wait
        return echo(post, stop)

    answers = map_concurrently(posts(100), send, limit=3)
    assert sorted([next(answers).uri, next(answers).uri]) == ["at://1", "at://2"]
    with pytest.raises(Fault, match=r"^the service has gone$"):
        next(answers)
    assert sorted(sent) == ["0", "1", "2"]


def test_a_failure_to_take_the_next_post_loses_no_result_in_flight() -> None:
    """Each post is recorded before it is sent, and the disk may be full at the fifth."""
    sent: list[str] = []

    def recorded() -> Iterator[Post]:
        yield from posts(4)
        raise Fault("No space left on device")

    def send(post: Post, stop: threading.Event) -> Answer:
        assert stop.wait(HANG_SECONDS)
        sent.append(post.uri)
        return echo(post, stop)

    yielded: list[str] = []
    with pytest.raises(Fault, match=os.strerror(errno.ENOSPC)):
        for answer in map_concurrently(recorded(), send, limit=8):
            yielded.append(answer.uri)
    assert sorted(yielded) == sorted(sent) == ["at://0", "at://1", "at://2", "at://3"]


def test_the_first_of_several_failures_is_raised() -> None:
    second = threading.Event()

    def send(post: Post, stop: threading.Event) -> Answer:
        if post.text == "1":
            assert stop.wait(HANG_SECONDS)
            second.set()
            raise Fault("ended because of the first")
        raise Fault("the first")

    with pytest.raises(Fault, match=r"^the first$"):
        list(map_concurrently(posts(2), send, limit=2))
    assert second.is_set()


def test_a_waiting_request_stops_when_nobody_wants_the_results_any_more() -> None:
    stopped, both = threading.Event(), threading.Barrier(2, timeout=HANG_SECONDS)

    def send(post: Post, stop: threading.Event) -> Answer:
        both.wait()
        if post.text == "0":
            return echo(post, stop)
        assert stop.wait(HANG_SECONDS)
        stopped.set()
        return echo(post, stop)

    answers = map_concurrently(posts(2), send, limit=2)
    assert next(answers).uri == "at://0"
    answers.close()  # type: ignore[attr-defined]
    assert stopped.wait(HANG_SECONDS)


@settings(deadline=None)
@given(st.sets(st.integers(0, 39)), st.integers(1, 10))
def test_failures_anywhere_neither_lose_nor_invent_a_result(failing: set[int], limit: int) -> None:
    answered: list[str] = []
    lock = threading.Lock()

    def send(post: Post, stop: threading.Event) -> Answer:
        if int(post.text) in failing:
            raise Fault(post.text)
        with lock:
            answered.append(post.uri)
        return echo(post, stop)

    yielded: list[str] = []
    try:
        for answer in map_concurrently(posts(40), send, limit=limit):
            yielded.append(answer.uri)
    except Fault as fault:
        assert int(str(fault)) in failing
    else:
        assert not failing
    assert sorted(yielded) == sorted(answered)


def test_a_task_that_is_stopped_sends_nothing_new_and_keeps_what_is_in_flight() -> None:
    """Two wait for a slot of their quota, one waits for its reply, and 97 have not been sent."""
    stopping, sent = threading.Event(), threading.Event()

    def send(post: Post, stop: threading.Event) -> Answer:
        if post.text != "0":
            assert stop.wait(HANG_SECONDS)
            raise Stopped
        sent.set()
        assert stopping.wait(HANG_SECONDS) and stop.wait(HANG_SECONDS)
        return echo(post, stop)

    answers = map_concurrently(posts(100), send, limit=3, stopping=stopping)
    signal = threading.Thread(target=lambda: sent.wait(HANG_SECONDS) and stopping.set())
    signal.start()
    assert [answer.uri for answer in answers] == ["at://0"]
    signal.join()
