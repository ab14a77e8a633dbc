"""POST JSON to a classifier's HTTP service, with retries: the only door to it.

Failures that may pass (408, 409, 425, 429, 5xx, lost connections, bodies that are not JSON) are
retried; every other reply is returned for the classifier to judge. The key travels in a header,
because URLs end up in tracebacks and in the logs of proxies. After HTTP 429,
one request waits while `concurrency` keeps another in flight, or the whole task pauses;
`throttling` tells which.
"""

import itertools
import threading
import time
from dataclasses import dataclass
from typing import Any

from pipeline.errors import Cause, TaskError
from pipeline.service import backoff
from pipeline.service.activity import RequestCounter, ServiceActivity
from pipeline.service.descriptors import affordable
from pipeline.service.http_reply import DISCONNECTED, INCOMPLETE, TIMED_OUT, Reply, no_reply
from pipeline.service.http_sender import HttpSender, ReplyMeaning
from pipeline.service.limited_http import AnswerLimits
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.route import PermanentFault
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from pipeline.service.throttling import RecentReplies, Tally
from pipeline.service.wire import Wire
from pipeline.system import out_of_memory
from pipeline.text import counted

# More memory than now comes only if requests under way end.
MEMORY_SECONDS = 60.0
# After this many 429s to one request, others show whether it is the only one.
_TRIES_BEFORE_PROBE = 2


class Stopped(Exception):
    """The task is ending: this post was not sent, or not sent again."""


class Endpoint:
    """Sends JSON to one service from many threads, and separates its outages from a post's fault.

    `trouble` is the last reply's summary unless that was a success; then it is ''.
    """

    def __init__(
        self, service: Service, *, limiter: RateLimiter, policy: RequestPolicy, rules: ReplyRules
    ) -> None:
        """Open no connection yet; `limiter` says when each request may go out."""
        self.url = service.name
        self.trouble = ""
        self._is_throttled = False
        self._service = service
        self._limiter = limiter
        self._policy = policy
        self._rules = rules
        self._recent = RecentReplies()
        self._numbers = itertools.count()
        self._counter = RequestCounter()
        self._wire = Wire(affordable(service.connections))
        self._probing = threading.Lock()
        self._no_probe_before = 0.0
        self._sender = HttpSender(
            headers=service.headers,
            secret=service.secret,
            limits=AnswerLimits(
                seconds=policy.timeout_s, most_bytes=service.most_bytes, listener=service.listener
            ),
            connections=service.connections,
            meaning=ReplyMeaning(path=service.path, is_complete=rules.is_complete),
        )

    def activity(self) -> ServiceActivity:
        """Return what was sent lately, and which faults came back."""
        is_throttled = self._is_throttled or self._limiter.lacks_quota
        return self._counter.activity(self._limiter.tasks, is_throttled=is_throttled)

    @property
    def outage_cause(self) -> Cause:
        """Return why a task ends while the service answers nobody.

        Nobody else has a server that the task itself started, so waiting does not bring it back.
        """
        return Cause.CRASHED if self._service.server else Cause.UNAVAILABLE

    def waiting(self) -> int:
        """Return how many requests are not on the wire, because they wait to be sent again."""
        return self._wire.waiting()

    def post(self, payload: Any, stop: threading.Event, *, attempts: int | None = None) -> Reply:
        """Send `payload` until the service gives a definite reply, and return that reply.

        A failure that may pass is retried. If it lasts, the post is at fault when other posts or
        the probe are answered meanwhile, and the service otherwise.

        A 429 is no attempt, because the service has not looked at the request. It makes this
        request wait, and the whole task only once several requests in a row got one. Others do not
        wait for this request's place on the wire. If the service goes on to throttle this request
        and no other, as with one that exceeds a limit by itself, its 429 is returned.

        Args:
            payload: the JSON body.
            stop: set when the reply is no longer wanted.
            attempts: how often to send it, instead of the policy's number. Then the last reply is
                returned even if it may pass, and nobody is blamed.

        Returns:
            The reply, for the classifier to judge: a success; an error that does not pass; a
            failure (500, a timeout, no JSON) that is this post's own; or a 429. Of these, one with
            `is_final` may be about every request, and any other is this post's own: others, or the
            probe, were answered after each of its last `RequestPolicy.attempts` tries.

        Raises:
            TaskError: the service does not answer (`outage_cause`), a connection was lost at this
                post only (crashed), or 429 lasts too long (throttled).
            OSError: this machine has had too little memory for a request for a while.
            Stopped: `stop` was set first.
        """
        limit = attempts or self._policy.attempts
        delivery = _Delivery(
            number=next(self._numbers), answered_before=self._recent.tally.answered
        )
        while True:
            sent = self._send_or_wait(payload, delivery, stop, is_patient=attempts is None)
            if sent is None:
                continue
            reply, requested_wait_s = sent
            if reply.asks_to_wait:
                if attempts is None:
                    self._see_who_is_throttled(payload, delivery, stop)
                if delivery.throttled_alone >= self._policy.attempts:
                    return reply
                self._wait_for_quota(delivery, reply, requested_wait_s, stop)
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
            delivery.before_wait = tally = self._recent.tally
            others_pass = tally.answered > delivery.answered_before
            delivery.answered_before = tally.answered
            self._wait(
                backoff.wait_s(
                    self._policy, delivery.attempts, requested_wait_s, others_pass=others_pass
                ),
                stop,
            )

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

    def _count(self, payload: Any, reply: Reply) -> bool:
        is_answer = reply.status == 200 and self._rules.answers(payload, reply)
        if is_answer:
            self._recent.record_answered()
        return is_answer

    def _see_who_is_throttled(
        self, payload: Any, delivery: "_Delivery", stop: threading.Event
    ) -> None:
        """Find out after a 429 whether others pass, and count how often they did in a row.

        They pass if some were answered since this request's last 429, and none was throttled.
        Where others say nothing, the probe is asked. The first two 429s show nothing: a quota that
        is used up has room again after the first wait.
        """
        before = delivery.before_429
        if before is None or delivery.throttled < _TRIES_BEFORE_PROBE:
            delivery.others_pass = None
        elif self._recent.tally.shows_others_pass(before, own=1):
            delivery.others_pass = True
        else:
            delivery.others_pass = self._try_probe(payload, stop)
        # Taken anew, so that an answer to the probe counts once.
        delivery.before_429 = self._recent.tally
        if delivery.others_pass is not None:
            delivery.throttled_alone = delivery.throttled_alone + 1 if delivery.others_pass else 0

    def _try_probe(self, payload: Any, stop: threading.Event) -> bool | None:
        """Send the probe once, and return whether it is answered rather than throttled.

        Returns:
            None if that remains unknown. While the service throttles the whole task, only one
            request at a time asks, and not at once again.
        """
        if self._rules.probe is None or not self._probing.acquire(blocking=False):
            return None
        try:
            if time.monotonic() < self._no_probe_before:
                return None
            probe = self._rules.probe(payload)
            delivery = _Delivery(number=next(self._numbers))
            sent = self._send_or_wait(probe, delivery, stop, is_patient=False)
            reply, requested_wait_s = sent or (no_reply(DISCONNECTED, ""), None)
            if reply.status == 429:
                rest_s = requested_wait_s or self._policy.longest_throttle_s
                self._no_probe_before = time.monotonic() + rest_s
                return False
            return self._count(probe, reply) or None
        finally:
            self._probing.release()

    def _wait_for_quota(
        self,
        delivery: "_Delivery",
        reply: Reply,
        requested_wait_s: float | None,
        stop: threading.Event,
    ) -> None:
        """Wait before a throttled request is sent again, and let the whole task wait if need be.

        Raises:
            TaskError: no request has got through for too long.
            Stopped: `stop` was set first.
        """
        if delivery.throttled_for_s(self._recent.tally) > self._policy.throttled_s:
            raise TaskError(Cause.THROTTLED, f"{self.url}: {reply.summary}")
        delivery.throttled += 1
        wait_s = backoff.wait_s(
            self._policy,
            delivery.throttled,
            requested_wait_s,
            longest_s=self._policy.longest_throttle_s,
        )
        if self._recent.are_throttled or delivery.others_pass is False:
            until_reset = self._policy.until_quota_resets
            self._limiter.pause(requested_wait_s or (until_reset() if until_reset else wait_s))
        self._wait(wait_s, stop)

    def _wait(self, seconds: float, stop: threading.Event) -> None:
        if not self._wire.wait(seconds, stop):
            raise Stopped

    def _send_or_wait(
        self, payload: Any, delivery: "_Delivery", stop: threading.Event, *, is_patient: bool
    ) -> tuple[Reply, float | None] | None:
        """Return what `_exchange` does; None after a wait, if this machine could not send anything.

        That is no attempt: the service has not seen the request. A task that ended instead would
        meet the same lack in its next attempt.

        Raises:
            OSError: there is too little memory, and there will not be more.
            Stopped: `stop` was set first.
        """
        try:
            return self._exchange(payload, delivery, stop)
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
        # It keeps its place among the posts in flight: others could not be sent either.
        if stop.wait(backoff.wait_s(self._policy, delivery.shortages)):
            raise Stopped
        delivery.before_wait = self._recent.tally
        return None

    def _exchange(
        self, payload: Any, delivery: "_Delivery", stop: threading.Event
    ) -> tuple[Reply, float | None]:
        """Send a request when it is its turn, and return what `HttpSender.send` does.

        Raises:
            OSError: this machine lacks what a request needs, such as file descriptors.
            TaskError: nothing may be sent any more, or nothing can arrive before a person has
                changed something.
            Stopped: `stop` was set first.
        """
        if not self._wire.enter(stop):
            raise Stopped
        try:
            delivery.send_to(self._service.address(stop))
            if not self._limiter.wait(stop):
                raise Stopped
            self._counter.record_sent()
            reply, requested_wait_s = self._sender.send(delivery.url, payload)
        except PermanentFault as fault:
            raise TaskError(Cause.REFUSED, f"{self.url}: {fault}") from None
        finally:
            self._wire.leave()
        self._counter.record_reply(reply.status)
        self.trouble = "" if reply.status == 200 else reply.summary
        self._is_throttled = reply.asks_to_wait or bool(reply.may_pass and requested_wait_s)
        if self._is_throttled:
            self._recent.record_throttled(delivery.number)
        elif not reply.may_pass:
            self._recent.record_passed()
        return reply, requested_wait_s

    def _blame(
        self, payload: Any, reply: Reply, delivery: "_Delivery", stop: threading.Event
    ) -> Reply:
        """Return the reply of a post that fails while others succeed; else raise TaskError."""
        before = delivery.before_wait
        others_succeed = before is not None and self._recent.tally.answered > before.answered
        if reply.status in (500, INCOMPLETE, TIMED_OUT, DISCONNECTED):
            others_succeed = others_succeed or self.answers_probe(payload, stop, 1)
        else:
            # A gateway's word may be the last one of an outage. It is about the post if it comes
            # once more after the probe has been answered.
            if self._rules.probe:
                others_succeed = self.answers_probe(payload, stop, 1)
            if others_succeed:
                reply = self.post(payload, stop, attempts=1)
        if others_succeed and reply.status != DISCONNECTED:
            return reply
        # A lost connection may be the post's fault or a passing outage. The next attempt of the
        # task sends the post alone, which decides it.
        advice = "" if others_succeed else self._rules.outage_advice
        raise TaskError(
            Cause.CRASHED if others_succeed else self.outage_cause,
            f"{self.url}: {reply.summary} ({counted(delivery.attempts, 'try', 'tries')}){advice}",
            blames_post=others_succeed,
        )


@dataclass(kw_only=True, slots=True)
class _Delivery:
    """How far one payload has come."""

    number: int
    url: str = ""
    attempts: int = 0
    answered_before: int = 0
    """How many answers others had got when it was first sent, or when it last failed."""
    before_wait: Tally | None = None
    shortages: int = 0
    lacking_since: float = 0.0
    throttled: int = 0
    throttled_alone: int = 0
    before_429: Tally | None = None
    others_pass: bool | None = None
    throttled_since: float | None = None
    answered: int = 0

    def send_to(self, url: str) -> None:
        """Count anew at another address: failures of a server that died prove nothing."""
        if url != self.url:
            self.url, self.attempts = url, 0

    def throttled_for_s(self, tally: Tally) -> float:
        """Return for how many seconds neither this request nor any other has got through.

        While others get through, this request is merely late.
        """
        now = time.monotonic()
        if self.throttled_since is None or tally.answered > self.answered:
            self.throttled_since, self.answered = now, tally.answered
        return now - self.throttled_since
