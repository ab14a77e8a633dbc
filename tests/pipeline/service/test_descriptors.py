"""A task keeps no more requests in flight than it may open connections."""

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pipeline.model import Answer
from pipeline.service.concurrency import map_concurrently
from pipeline.service.descriptors import OTHERS, affordable, describe_lack, raise_limit
from tests.pipeline.service.test_concurrency import echo, posts


@pytest.fixture(autouse=True)
def _limit_put_back() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def let_open(files: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


@pytest.mark.parametrize(
    ("files", "requests", "possible"),
    [(1024, 64, 64), (256, 300, 160), (256, 160, 160), (100, 300, 50), (1024, 1024, 928)],
)
def test_room_is_left_for_everything_but_connections(
    files: int, requests: int, possible: int
) -> None:
    let_open(files)
    assert affordable(requests) == possible
    assert bool(describe_lack(requests)) is (possible < requests)


def test_the_limit_is_raised_as_far_as_needed_and_never_lowered() -> None:
    let_open(256)
    raise_limit(300)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + 2 * OTHERS
    assert describe_lack(300) == ""
    raise_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + 2 * OTHERS


def test_a_hard_limit_is_respected_and_reported() -> None:
    code = (
        "import resource; from pipeline.service.descriptors import describe_lack, raise_limit; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 256)); raise_limit(512); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), describe_lack(512))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == (
        "(256, 256) max_in_flight is 512, but this task may open only 256 files (`ulimit -Hn`), "
        "so it keeps 160 requests in flight\n"
    )


def test_no_more_requests_than_affordable_are_in_flight() -> None:
    let_open(200)
    lock, current, highest = threading.Lock(), 0, 0

    def send(post: object, stop: threading.Event) -> int:
        nonlocal current, highest
        with lock:
            current += 1
            highest = max(highest, current)
        threading.Event().wait(0.001)
        with lock:
            current -= 1
        return 1

    assert sum(map_concurrently(posts(600), send, limit=600)) == 600
    assert highest <= 200 - OTHERS


def test_a_thread_that_cannot_start_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ulimit -u` is reached at the third: two do all the work."""
    real, started = threading.Thread.start, 0

    def start(thread: threading.Thread) -> None:
        nonlocal started
        started += 1
        if started > 2:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    answers: list[Answer] = list(map_concurrently(posts(50), echo, limit=8))
    assert sorted(answer.uri for answer in answers) == sorted(post.uri for post in posts(50))
    assert started == 3


def test_without_any_thread_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    items = iter(posts(3))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(map_concurrently(items, echo, limit=8))
    assert len(list(items)) == 3
