"""Tell a post's own rejection from one that every post would get."""

import threading
from collections.abc import Callable

from pipeline.classifiers.shared_probe import SharedProbe
from pipeline.classifiers.verdicts import Verdict, judge
from pipeline.errors import TaskError
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import Reply


class Rejections:
    """Judges the rejections of one endpoint, for many threads."""

    def __init__(self, endpoint: Endpoint, fault: Callable[[Reply], TaskError]) -> None:
        """Keep the endpoint, and what returns the end of a task whose every post is rejected."""
        self._endpoint = endpoint
        self._fault = fault
        self._shared_probe = SharedProbe()

    def check_access(self, reply: Reply) -> None:
        """Raise TaskError if the service rejects every request, whatever its text is."""
        if judge(reply) is Verdict.EVERY_POSTS:
            raise self._fault(reply)

    def check_is_posts_own(
        self, reply: Reply, stop: threading.Event, *, is_about_the_text: bool
    ) -> None:
        """Return if a reply other than 200 is about one post only.

        Args:
            reply: the reply.
            stop: set when the answer is no longer wanted.
            is_about_the_text: whether the reply says so itself.

        Raises:
            TaskError: no post would get a label.
            Stopped: `stop` was set first.
        """
        self.check_access(reply)
        is_posts_own = (
            judge(reply) is Verdict.SETTLED or is_about_the_text or self._is_probe_answered(stop)
        )
        if not is_posts_own:
            raise self._fault(reply)

    def _is_probe_answered(self, stop: threading.Event) -> bool:
        """Report whether the service answers its probe, after it has rejected a post."""
        return self._shared_probe.is_answered(
            lambda: self._endpoint.answers_probe(None, stop), stop
        )
