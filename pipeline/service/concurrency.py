"""Keep many requests in flight from one task and yield their results as they arrive.

HTTP 429 (too many requests) changes how many these are. A request that waits after a 429 keeps its
thread and gives its place on the wire to another one, so up to twice as many may be in flight.
`endpoint` decides whether one request waits or the whole task pauses, and `throttling` gives it the
reasons.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.service.descriptors import affordable
from pipeline.service.endpoint import Stopped

# How often to check whether the task has been asked to stop.
POLL_SECONDS = 0.2

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_concurrently(
    items: Iterable[Item],
    send: Callable[[Item, threading.Event], Result],
    *,
    limit: int,
    stopping: threading.Event | None = None,
    requeued: deque[Item] | None = None,
    waiting: Callable[[], int] = lambda: 0,
) -> Iterator[Result]:
    """Yield `send(item, stop)` for every item, in the order in which the results arrive.

    After the first exception, from `send` or from `items`, no new item is sent. Results of items
    already in flight are still yielded, because they have been paid for. Then the exception is
    raised.

    Args:
        items: taken one at a time, only when there is room to send one.
        send: runs in a thread. Its second argument is set when no more results are wanted; its
            waits should then end by raising Stopped.
        limit: how many items may be in flight at once. There are fewer where the system allows
            neither that many open files nor that many threads.
        stopping: set when the task has been asked to stop. From then on nothing new is sent, and
            Stopped is not a failure.
        requeued: items that `send` puts here are sent before the next one of `items`.
        waiting: returns how many items in flight wait to be sent again, such as after HTTP 429. Up
            to `limit` of them take no other item's place; `send` must see to it that no more than
            `limit` are being sent.
    """
    flight = _Flight(items, send, limit, requeued, waiting)
    try:
        while True:
            if stopping and stopping.is_set():
                flight.stop.set()
            flight.fill()
            if not flight.size:
                break
            finished = flight.next_finished()
            if finished is None:
                continue
            if isinstance(finished, _Succeeded):
                yield finished.result
            elif not (isinstance(finished.error, Stopped) and stopping and stopping.is_set()):
                flight.fail(finished.error)
    finally:
        flight.abandon()
    if flight.failure is not None:
        raise flight.failure


@dataclass(frozen=True, slots=True)
class _Succeeded(Generic[Result]):
    result: Result


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class _Flight(Generic[Item, Result]):
    """Hold the requests in flight, the items still to send, and the first failure."""

    def __init__(
        self,
        items: Iterable[Item],
        send: Callable[[Item, threading.Event], Result],
        limit: int,
        requeued: deque[Item] | None,
        waiting: Callable[[], int],
    ) -> None:
        self.stop = threading.Event()
        self.size = 0
        self.failure: BaseException | None = None
        self._items = iter(items)
        self._send = send
        self._requeued = deque[Item]() if requeued is None else requeued
        # None ends a thread.
        self._to_send: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[_Succeeded[Result] | _Failed] = queue.SimpleQueue()
        self._limit = affordable(limit)
        self._waiting = waiting
        self._threads = 0
        self._most_threads = 2 * self._limit

    def fill(self) -> None:
        """Send items until the limit is reached, none is left, or the flight has been stopped."""
        while not self.stop.is_set() and self.size < self._room():
            if self.size == self._threads and not self._start_thread():
                return
            try:
                item = self._requeued.popleft() if self._requeued else next(self._items, None)
            except Exception as error:  # noqa: BLE001 - raised after the paid results are yielded
                self.fail(error)
                return
            if item is None:
                return
            self.size += 1
            self._to_send.put(item)

    def next_finished(self) -> "_Succeeded[Result] | _Failed | None":
        """Return a finished request, or None when none finishes within POLL_SECONDS."""
        try:
            finished = self._finished.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return None
        self.size -= 1
        return finished

    def fail(self, error: BaseException) -> None:
        """Record the first failure and send nothing more."""
        self.failure = self.failure or error
        self.stop.set()

    def abandon(self) -> None:
        """Tell the requests in flight that their results are no longer wanted."""
        self.stop.set()
        for _ in range(self._threads):
            self._to_send.put(None)

    def _room(self) -> int:
        """Return how many items may be in flight now, those that wait included."""
        return min(self._limit + self._waiting(), self._most_threads)

    def _start_thread(self) -> bool:
        """Start one more thread; do with those that run if the system refuses another.

        Not a thread pool: that loses the result of the item at which a thread cannot start.
        """
        try:
            threading.Thread(target=self._work, name="request", daemon=True).start()
        except RuntimeError as error:
            if not self._threads:
                self.fail(error)
            self._most_threads = self._threads
            return False
        self._threads += 1
        return True

    def _work(self) -> None:
        while (item := self._to_send.get()) is not None:
            try:
                result = self._send(item, self.stop)
            except BaseException as error:  # noqa: BLE001 - raised where the results are yielded
                self._finished.put(_Failed(error))
            else:
                self._finished.put(_Succeeded(result))
