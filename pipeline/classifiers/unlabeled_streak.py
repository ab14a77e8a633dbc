"""Stop when nothing is labeled any more, but not because a few posts cannot be labeled.

A wrong configuration shows itself post by post: a server without its reasoning parser, a choice
that the model never makes. Without this rule, a whole backlog would be paid for and end without a
label. But twenty posts of emoji, or twenty insults that a filter rejects, may follow one another
as well. So the fixed sentence decides: if it gets a valid label, the posts are at fault.

A short sentence may get a label where no post does, as with a model that thinks longer about posts
than its tokens allow. So a task in which each of the first twenty posts gets an answer, and none a
label, stops as well.
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
        self._has_labeled = False
        # Of the last answers in a row, those that are no text's own fault.
        self._useless = 0
        self._describe_useless: Callable[[], TaskError] | None = None
        self._fault: TaskError | None = None

    def count(self, answer: Answer, fault: Callable[[], TaskError] | None = None) -> Answer:
        """Count the answer about a post that was sent, and return it.

        Args:
            answer: the answer.
            fault: returns the end of the task if all answers are like this one; None for a label,
                and where the text itself may be the reason that there is none.
        """
        with self._counting:
            self._unlabeled = self._unlabeled + 1 if answer.values is None else 0
            self._useless = self._useless + 1 if fault else 0
            self._describe_useless = fault
            self._has_labeled = self._has_labeled or answer.values is not None
        return answer

    def check(self, stop: threading.Event) -> None:
        """Ask the fixed sentence if it is due; call this before anything else is sent.

        Several threads that want to send wait for the same question.

        Raises:
            TaskError: it gets no valid label, so no post would; or it does, but each of the first
                posts of this task got an answer, and none of them a label.
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
                else:
                    self._fault = self._find_uselessness()
            if self._fault is not None:
                raise self._fault
            with self._counting:
                self._unlabeled = 0

    def _find_uselessness(self) -> TaskError | None:
        """Return the end of a task whose first posts all got answers, and none a label."""
        with self._counting:
            if self._has_labeled or self._useless < MOST_UNLABELED:
                return None
            describe = self._describe_useless
        return describe() if describe else None
