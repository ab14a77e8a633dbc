"""Many requests in flight from one task, answers as they come."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.model import Answer, Post


def in_flight(
    posts: Sequence[Post],
    ask: Callable[[Post, threading.Event], Answer],
    *,
    limit: int,
) -> Iterator[Answer]:
    """Yields the answers of `ask` for every post, at most `limit` being asked at once.

    After the first exception no new post is asked, what is in flight is still yielded (it is paid
    for), and then the exception is raised. `ask` is given an event that is set from then on: its
    waits should end with it.
    """
    stop = threading.Event()
    finished: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
    waiting = iter(posts)
    asked = 0
    failure: BaseException | None = None
    pool = ThreadPoolExecutor(limit, thread_name_prefix="ask")
    try:
        while True:
            while failure is None and asked < limit:
                post = next(waiting, None)
                if post is None:
                    break
                pool.submit(ask, post, stop).add_done_callback(finished.put)
                asked += 1
            if not asked:
                break
            done = finished.get()
            asked -= 1
            error = done.exception()
            if error is None:
                yield done.result()
            else:
                failure = failure or error
                stop.set()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure
