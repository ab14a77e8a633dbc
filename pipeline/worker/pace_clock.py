"""Measure how fast a task's classifier answers, from the thread that it works in."""

import time
from collections.abc import Sequence

from pipeline.model import Answer
from pipeline.run_files.pace import Pace
from pipeline.system.processes import resident_mb, seconds_since_start
from pipeline.worker.classifier_thread import PostObserver

# Posts that take no time would have no rate.
_SHORTEST_S = 0.001


class PaceClock:
    """Tells another observer of everything, and counts and times what passes by.

    The classifier's thread calls `record_handed_out` and `record_answered`; all else is called by
    the task's own thread.
    """

    def __init__(self, observer: PostObserver) -> None:
        """Begin without any post.

        Args:
            observer: what the classifier's thread reports to.
        """
        self._observer = observer
        self._asked = 0
        self._startup_s = self._began = self._last = 0.0
        self._memory_mb: float | None = None

    def record_handed_out(self, uris: Sequence[str]) -> None:
        """Note when the classifier took its first post."""
        if not self._began:
            self._startup_s = seconds_since_start()
            self._began = self._last = time.monotonic()
        self._observer.record_handed_out(uris)

    def record_answered(self, answers: Sequence[Answer]) -> None:
        """Note when the last answer came."""
        self._observer.record_answered(answers)
        self._asked += len(answers)
        self._last = time.monotonic()

    def look_at_memory(self) -> float | None:
        """Return the memory of the task's processes in MiB, and remember the most."""
        memory_mb = resident_mb()
        self._memory_mb = max((m for m in (memory_mb, self._memory_mb) if m), default=None)
        return memory_mb

    def pace(self) -> Pace | None:
        """Return what was measured; None if the classifier was asked about nothing."""
        if not self._asked:
            return None
        self.look_at_memory()
        return Pace(
            asked=self._asked,
            asking_s=round(max(self._last - self._began, _SHORTEST_S), 3),
            startup_s=round(max(self._startup_s, 0.0), 3),
            memory_mb=self._memory_mb,
        )
