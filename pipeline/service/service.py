"""Describe an HTTP service: where it is, how often to ask it, and what its replies mean."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.secret import Secret
from pipeline.limits import ANSWER_BYTES
from pipeline.service.http_reply import Reply


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestPolicy:
    """How often a request is sent, and how long to wait."""

    attempts: int = 6
    """How often a request is sent before its failure counts."""

    first_wait_s: float = 0.5
    """The longest wait before the second attempt; it grows fourfold with each further attempt.

    Most failures pass at once. The others are outages, which take long. While other requests are
    answered, the first waits are shorter (`backoff`).
    """

    longest_wait_s: float = 30.0
    """The longest wait between two attempts."""

    longest_throttle_s: float = 15.0
    """The longest wait after a 429 that names none."""

    throttled_s: float = 600.0
    """How long HTTP 429 is waited out while no request gets through."""

    timeout_s: float = 60.0
    """How long the service may take to answer, from the first byte sent to the last received."""

    until_quota_resets: Callable[[], float] | None = None
    """Returns for how many seconds the whole task sends nothing once its quota is used up.

    That is once several requests in a row got a 429 that names no time. None: as long as one of
    them waits.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """An HTTP service: where it is and how to authenticate."""

    url: str
    """Where to POST; only the path, such as /chat/completions, where there is a `server`."""

    headers: Mapping[str, str]
    """Sent with every request, the key among them."""

    secret: Secret
    """The key, to redact it from everything that is shown."""

    connections: int
    """How many connections to keep open."""

    path: str = ""
    """The part of `url` that `base_url` does not name, such as /chat/completions."""

    most_bytes: int = ANSWER_BYTES
    """How long an answer may be, decompressed."""

    server: Callable[[threading.Event], str] | None = None
    """Returns the base address of the task's own server, which changes with each start.

    It waits while the server starts, and raises TaskError or Stopped.
    """

    listener: Callable[[int], object] | None = None
    """Proves who listens on a port of this machine, as `AnswerLimits` describes."""

    @property
    def name(self) -> str:
        """Return what messages call the service."""
        return f"the task's server: {self.url}" if self.server else self.url

    def address(self, stop: threading.Event) -> str:
        """Return the URL to POST to. Raises TaskError or Stopped."""
        return self.server(stop) + self.url if self.server else self.url


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyRules:
    """What a service's replies mean, as only its classifier knows."""

    probe: Callable[[Any], Any] | None = None
    """Returns, for a payload, one of the same form that is answered whenever any payload is."""

    answers: Callable[[Any, Reply], bool] = lambda payload, reply: True
    """Whether an HTTP 200 reply answers this payload."""

    is_complete: Callable[[Any], bool] = lambda body: True
    """Whether the body of an HTTP 200 is an answer at all, and not a report of an outage."""

    outage_advice: str = ""
    """Appended to the message when the whole service fails."""
