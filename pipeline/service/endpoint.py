"""POST JSON to a classifier's HTTP service, with retries: the only door to it.

Failures that may pass (408, 409, 425, 429, 5xx, lost connections, bodies that are not JSON) are
retried; every other reply is returned for the classifier to judge. The key travels in a header,
because URLs end up in tracebacks and in the logs of proxies.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipeline import out_of_memory
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.limits import ANSWER_BYTES, in_words
from pipeline.service.address import host_of, is_on_this_machine
from pipeline.service.http_reply import (
    DISCONNECTED,
    INCOMPLETE,
    TIMED_OUT,
    Reply,
    no_reply,
    parse_reply,
    retry_after,
    without_body,
)
from pipeline.service.limited_http import (
    ACCEPTED_ENCODINGS,
    AnswerLimits,
    LimitedAdapter,
    TooLong,
    TooSlow,
    UndecodableBody,
    read_body,
)
from pipeline.service.quota.pace import Pace
from pipeline.shortage import find_shortage
from pipeline.text import counted

CONNECT_TIMEOUT_SECONDS = 10.0
# More memory than now comes only if requests under way end.
MEMORY_SECONDS = 60.0


class Stopped(Exception):
    """The task is ending: this post was not sent, or not sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestPolicy:
    """How often a request is sent, and how long to wait."""

    attempts: int = 6
    """How often a request is sent before its failure counts."""

    first_wait_s: float = 1.0
    """Half the longest wait before the second attempt; it doubles with each further attempt."""

    longest_wait_s: float = 30.0
    """The longest wait between two attempts."""

    throttled_s: float = 600.0
    """How long HTTP 429 is waited out while no request gets through."""

    timeout_s: float = 60.0
    """How long the service may take to answer, from the first byte sent to the last received."""

    until_quota_resets: Callable[[], float] | None = None
    """Returns the seconds to wait after a 429 that names none. None: as after any failure."""


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


class Endpoint:
    """Sends JSON to one service from many threads, and separates its outages from a post's fault.

    `trouble` is the last reply's summary unless that was a success; then it is ''.
    """

    def __init__(
        self, service: Service, *, pace: Pace, policy: RequestPolicy, rules: ReplyRules
    ) -> None:
        """Open no connection yet; `pace` says when each request may go out."""
        self.url = service.name
        self.trouble = ""
        self._service = service
        self._pace = pace
        self._policy = policy
        self._rules = rules
        self._answered = 0
        self._session = _session(service, policy)

    def post(self, payload: Any, stop: threading.Event, *, attempts: int | None = None) -> Reply:
        """Send `payload` until the service gives a definite reply, and return that reply.

        A failure that may pass is retried. If it lasts, the post is at fault when other posts or
        the probe are answered meanwhile, and the service otherwise. A 429 is waited out and is no
        attempt, because the service has not looked at the request.

        Args:
            payload: the JSON body.
            stop: set when the reply is no longer wanted.
            attempts: how often to send it, instead of the policy's number. Then the last reply is
                returned even if it may pass, and nobody is blamed.

        Returns:
            The reply, for the classifier to judge: a success, an error that does not pass, or a
            failure (500, a timeout, no JSON) that is this post's own.

        Raises:
            TaskError: the service is at fault (crashed), or 429 lasts too long (throttled).
            OSError: this machine has had too little memory for a request for a while.
            Stopped: `stop` was set first.
        """
        limit = attempts or self._policy.attempts
        delivery, throttling = _Delivery(), _Throttling()
        while True:
            delivery.send_to(self._service.address(stop))
            if not self._pace.wait(stop):
                raise Stopped
            sent = self._send_or_wait(payload, delivery, stop, is_patient=attempts is None)
            if sent is None:
                continue
            reply, requested_wait_s = sent
            self.trouble = "" if reply.status == 200 else reply.summary
            if reply.status == 429 and not reply.is_final:
                self._wait_for_quota(throttling, reply, requested_wait_s)
                continue
            if not (reply.may_pass or reply.retry):
                self._count(payload, reply)
                return reply
            delivery.attempts += 1
            if delivery.attempts >= limit or reply.retry is False:
                if attempts or not reply.may_pass:
                    return reply
                if self._service.address(stop) == delivery.url:
                    return self._blame(payload, reply, delivery, stop)
                continue  # the task's server has been started again
            # Counted from the last wait on: answers before that may precede an outage.
            delivery.answered_before = self._answered
            if stop.wait(requested_wait_s or self._backoff_s(delivery.attempts)):
                raise Stopped

    def answers_probe(
        self, payload: Any, stop: threading.Event, attempts: int | None = None
    ) -> bool:
        """Report whether the service answers the probe now, so that `payload` failed by itself.

        Answers that other posts got earlier prove nothing: when a service goes down, all requests
        in flight have seen some.

        Raises:
            TaskError: as `post`.
            Stopped: as `post`.
        """
        if self._rules.probe is None:
            return False
        probe = self._rules.probe(payload)
        reply = self.post(probe, stop, attempts=attempts)
        return reply.status == 200 and self._rules.answers(probe, reply)

    def _count(self, payload: Any, reply: Reply) -> None:
        if reply.status == 200 and self._rules.answers(payload, reply):
            self._answered += 1

    def _wait_for_quota(
        self, throttling: "_Throttling", reply: Reply, requested_wait_s: float | None
    ) -> None:
        """Pause all requests of the key; raises TaskError when that has lasted too long."""
        if throttling.seconds(self._answered) > self._policy.throttled_s:
            raise TaskError(Cause.THROTTLED, f"{self.url}: {reply.summary}")
        throttling.replies += 1
        if requested_wait_s:
            self._pace.pause(requested_wait_s)
        elif self._policy.until_quota_resets:
            self._pace.pause(self._policy.until_quota_resets())
        else:
            self._pace.pause(self._backoff_s(throttling.replies))

    def _send_or_wait(
        self, payload: Any, delivery: "_Delivery", stop: threading.Event, *, is_patient: bool
    ) -> tuple[Reply, float | None] | None:
        """Return what `_send` does; None after a wait, if this machine could not send anything.

        That is no attempt: the service has not seen the request. A task that ended instead would
        meet the same lack in its next attempt.

        Raises:
            OSError: there is too little memory, and there will not be more.
            Stopped: `stop` was set first.
        """
        try:
            return self._send(delivery.url, payload)
        except OSError as error:
            shortage = error
        if not is_patient:
            return no_reply(DISCONNECTED, str(shortage)), None
        self.trouble = f"{self.url}: nothing can be sent: {shortage.strerror}"
        now = time.monotonic()
        delivery.lacking_since = delivery.lacking_since or now
        if out_of_memory.is_cause_of(shortage) and now - delivery.lacking_since > MEMORY_SECONDS:
            raise shortage
        delivery.shortages += 1
        if stop.wait(self._backoff_s(delivery.shortages)):
            raise Stopped
        delivery.answered_before = self._answered
        return None

    def _blame(
        self, payload: Any, reply: Reply, delivery: "_Delivery", stop: threading.Event
    ) -> Reply:
        """Return the reply of a post that fails while others succeed; else raise TaskError."""
        others_succeed = self._answered > delivery.answered_before or self.answers_probe(
            payload, stop, 1
        )
        if others_succeed and reply.status in (500, INCOMPLETE, TIMED_OUT):
            return reply
        # A gateway's 502 to 504 and a lost connection may be the post's fault or a passing outage.
        # The next attempt of the task sends the post alone, which decides it.
        advice = "" if others_succeed else self._rules.outage_advice
        raise TaskError(
            Cause.CRASHED,
            f"{self.url}: {reply.summary} ({counted(delivery.attempts, 'attempt')}){advice}",
            blames_post=others_succeed,
        )

    def _send(self, url: str, payload: Any) -> tuple[Reply, float | None]:
        """Return the reply, and how many seconds the service asks to wait, if it does.

        Raises:
            OSError: this machine lacks what a request needs, such as file descriptors.
        """
        timeouts_s = (CONNECT_TIMEOUT_SECONDS, self._policy.timeout_s)
        redact = self._service.secret.redact
        try:
            with self._session.post(
                url,
                json=payload,
                timeout=timeouts_s,
                allow_redirects=False,
                stream=True,
                # On the way to a proxy the key of a server on this machine would be readable.
                proxies={"no_proxy": host_of(url)} if is_on_this_machine(url) else None,
            ) as response:
                return self._read(response), retry_after(response.headers)
        except (TooSlow, requests.Timeout):
            return no_reply(TIMED_OUT, self._too_slow), None
        except TooLong:  # its headers
            return no_reply(INCOMPLETE, self._too_long), None
        # ValueError: a Location that is not a URL
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            if shortage := find_shortage(error):
                raise shortage from error
            return no_reply(DISCONNECTED, redact(str(error))), None

    def _read(self, response: requests.Response) -> Reply:
        """Return the reply that a response stands for, once its body has come."""
        status, headers = response.status_code, response.headers
        try:
            content = read_body(response, self._service.most_bytes)
        except TooSlow:
            return without_body(status, headers, self._too_slow, instead=TIMED_OUT)
        except TooLong:
            return without_body(status, headers, self._too_long, instead=INCOMPLETE)
        except UndecodableBody as error:
            return without_body(status, headers, str(error), instead=INCOMPLETE)
        # JSON is UTF-8. For a body without a charset requests guesses one, slowly and wrongly.
        # Redact before anything is cut off: half a key would not be recognized.
        text = self._service.secret.redact(content.decode(errors="replace"))
        return parse_reply(status, headers, text, is_complete=self._rules.is_complete)

    @property
    def _too_slow(self) -> str:
        return f"the answer was not complete within {self._policy.timeout_s:g} s"

    @property
    def _too_long(self) -> str:
        return f"the answer is longer than {in_words(self._service.most_bytes)}"

    def _backoff_s(self, attempts: int) -> float:
        longest = min(self._policy.longest_wait_s, self._policy.first_wait_s * 2**attempts)
        return float(longest * random.uniform(0.5, 1.0))


@dataclass(kw_only=True, slots=True)
class _Delivery:
    """How far one payload has come."""

    url: str = ""
    attempts: int = 0
    answered_before: float = float("inf")
    shortages: int = 0
    lacking_since: float = 0.0

    def send_to(self, url: str) -> None:
        """Count anew at another address: failures of a server that died prove nothing."""
        if url != self.url:
            self.url, self.attempts = url, 0


@dataclass(kw_only=True, slots=True)
class _Throttling:
    """How long one payload has been answered with 429 only."""

    replies: int = 0
    since: float | None = None
    answered: int = 0

    def seconds(self, answered: int) -> float:
        """Return for how long no request has got through; `answered` counts those that did.

        While others get through, this request is merely late.
        """
        now = time.monotonic()
        if self.since is None or answered > self.answered:
            self.since, self.answered = now, answered
        return now - self.since


def _session(service: Service, policy: RequestPolicy) -> requests.Session:
    session = requests.Session()
    session.headers.update({"Accept-Encoding": ACCEPTED_ENCODINGS, **service.headers})
    # A proxy's or netrc's credentials must not replace our header.
    session.auth = lambda request: request
    bounds = AnswerLimits(
        seconds=policy.timeout_s, most_bytes=service.most_bytes, listener=service.listener
    )
    adapter = LimitedAdapter(bounds, connections=service.connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
