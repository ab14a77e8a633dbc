"""Stop when nothing is labeled any more, but not because a few posts cannot be labeled.

A wrong configuration shows itself post by post: a server without its reasoning parser, a choice
that the model never makes. Without this rule, a whole backlog would be paid for and end without a
label. But twenty posts of emoji, or twenty insults that a filter rejects, may follow one another
as well. So the fixed sentence decides: if it gets a valid label, the posts are at fault.
"""

import threading
from collections.abc import Callable

from pipeline.errors import TaskError
from pipeline.model import Answer

MOST_UNLABELED = 20
"""How many posts in a row may remain without a label before the fixed sentence is asked."""


class UnlabeledStreak:
    """Counts answers without labels in the order in which they arrive, from many threads."""

    def __init__(self, prove: Callable[[threading.Event], None]) -> None:
        """Count from 0.

        Args:
            prove: asks the fixed sentence; raises TaskError if it gets no valid label.
        """
        self._prove = prove
        self._counting = threading.Lock()
        self._proving = threading.Lock()
        self._unlabeled = 0
        self._fault: TaskError | None = None

    def count(self, answer: Answer) -> Answer:
        """Count the answer about a post that was sent, and return it."""
        with self._counting:
            self._unlabeled = self._unlabeled + 1 if answer.values is None else 0
        return answer

    def check(self, stop: threading.Event) -> None:
        """Ask the fixed sentence if it is due; call this before anything else is sent.

        Several threads that want to send wait for the same question.

        Raises:
            TaskError: it gets no valid label, so no post would.
            Stopped: `stop` was set first.
        """
        if self._unlabeled < MOST_UNLABELED:
            return
        with self._proving:
            if self._unlabeled < MOST_UNLABELED:
                return
            if self._fault is None:
                try:
                    self._prove(stop)
                except TaskError as fault:
                    self._fault = fault
            if self._fault is not None:
                raise self._fault
            with self._counting:
                self._unlabeled = 0
