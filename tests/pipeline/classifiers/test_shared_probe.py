"""One probe for many failed requests, and never an answer from before a failure."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pipeline.classifiers.shared_probe import SharedProbe
from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Stopped
from tests.waiting import wait_until

LONGEST_S = 60.0


class Service:
    """Answers probes only when the test lets it; counts them."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers = threading.Semaphore(0)
        self.works = True

    def ask(self) -> bool:
        self.sent += 1
        assert self.answers.acquire(timeout=LONGEST_S)
        return self.works


def waiting(
    shared: SharedProbe, pool: ThreadPoolExecutor, service: Service, count: int
) -> list[Future[bool]]:
    stop = threading.Event()
    return [pool.submit(shared.is_answered, service.ask, stop) for _ in range(count)]


def test_requests_that_fail_during_a_probe_share_the_next_one() -> None:
    shared, service = SharedProbe(), Service()
    with ThreadPoolExecutor(40) as pool:
        first = waiting(shared, pool, service, 1)
        wait_until(lambda: service.sent == 1)
        later = waiting(shared, pool, service, 30)
        wait_until(lambda: shared.waiting == 30)
        service.answers.release(2)
        assert [future.result(LONGEST_S) for future in first + later] == [True] * 31
    assert service.sent == 2


def test_an_answer_from_before_a_failure_proves_nothing() -> None:
    shared, service = SharedProbe(), Service()
    stop = threading.Event()
    service.answers.release(2)
    assert shared.is_answered(service.ask, stop)
    service.works = False
    assert not shared.is_answered(service.ask, stop)
    assert service.sent == 2


def test_a_probe_under_way_is_no_proof_for_a_later_failure() -> None:
    """The key may be revoked after the service has accepted that probe."""
    shared, service = SharedProbe(), Service()
    with ThreadPoolExecutor(2) as pool:
        (before,) = waiting(shared, pool, service, 1)
        wait_until(lambda: service.sent == 1)
        (after,) = waiting(shared, pool, service, 1)
        wait_until(lambda: shared.waiting == 1)
        service.answers.release()
        assert before.result(LONGEST_S)
        service.works = False
        service.answers.release()
        assert not after.result(LONGEST_S)


def test_probes_of_different_kinds_are_not_shared() -> None:
    shared, stop = SharedProbe(), threading.Event()
    assert shared.is_answered(lambda: True, stop, kind=("TOXICITY",))
    assert not shared.is_answered(lambda: False, stop, kind=("INSULT",))


def test_an_error_of_the_probe_reaches_everyone_who_waits() -> None:
    shared, service = SharedProbe(), Service()

    def fail() -> bool:
        service.ask()
        raise TaskError(Cause.CRASHED, "down")

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(shared.is_answered, fail, threading.Event())
        wait_until(lambda: service.sent == 1)
        others = [pool.submit(shared.is_answered, fail, threading.Event()) for _ in range(4)]
        wait_until(lambda: shared.waiting == 4)
        service.answers.release(2)
        for future in [first, *others]:
            with pytest.raises(TaskError, match="down"):
                future.result(LONGEST_S)
    assert service.sent == 2


def test_a_stopped_task_does_not_wait_for_the_probe_of_another_thread() -> None:
    shared, service, stop = SharedProbe(), Service(), threading.Event()
    with ThreadPoolExecutor(3) as pool:
        waiting(shared, pool, service, 1)
        wait_until(lambda: service.sent == 1)
        leader = waiting(shared, pool, service, 1)
        wait_until(lambda: shared.waiting == 1)
        stop.set()
        with pytest.raises(Stopped):
            shared.is_answered(service.ask, stop)
        service.answers.release(2)
        assert leader[0].result(LONGEST_S)
