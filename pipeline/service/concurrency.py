"""Many requests in flight from one task, answers as they come."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipeline.service.endpoint import Stopped

# How soon those that wait for their turn hear that the task is told to stop.
LOOK_SECONDS = 0.2

Asked = TypeVar("Asked")
Told = TypeVar("Told")


def in_flight(
    posts: Iterable[Asked],
    ask: Callable[[Asked, threading.Event], Told],
    *,
    limit: int,
    stopping: threading.Event | None = None,
    again: deque[Asked] | None = None,
) -> Iterator[Told]:
    """Yields the answers of `ask` for every post, or whatever else is asked about, at most `limit`
    being asked at once.

    After the first exception, of `ask` or of `posts`, no new post is asked, what is in flight is
    still yielded (it is paid for), and then the exception is raised. `ask` is given an event that
    is set from then on: its waits should end with it, by Stopped.

    Args:
        stopping: set when the task is told to stop: then, too, nothing more is sent.
        again: what `ask` puts there is asked before any other of `posts`.
    """
    stop = threading.Event()
    finished: queue.SimpleQueue[Future[Told]] = queue.SimpleQueue()
    waiting = iter(posts)
    asked = 0
    failure: BaseException | None = None
    pool = ThreadPoolExecutor(limit, thread_name_prefix="ask")
    try:
        while True:
            if stopping and stopping.is_set():
                stop.set()
            while not stop.is_set() and asked < limit:
                try:
                    post = again.popleft() if again else next(waiting, None)
                except Exception as fault:  # noqa: BLE001 - raised below, after what was paid for
                    failure = fault
                    stop.set()
                    break
                if post is None:
                    break
                pool.submit(ask, post, stop).add_done_callback(finished.put)
                asked += 1
            if not asked:
                break
            try:
                done = finished.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            asked -= 1
            error = done.exception()
            if error is None:
                yield done.result()
            elif not (isinstance(error, Stopped) and stopping and stopping.is_set()):
                failure = failure or error
                stop.set()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure
