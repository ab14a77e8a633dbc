"""The only door to a classifier's HTTP service: one POST with its retries, never a verdict lost.

Retries what may pass (408, 409, 425, 429, 5xx, cut connections, bodies that are not JSON) and
returns everything else for the classifier to judge. The key travels in a header: URLs end up in
tracebacks and proxies' logs.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from pipeline.config.secret import Secret
from pipeline.config.section import Section
from pipeline.errors import Cause, TaskError
from pipeline.service.http_reply import CUT, NOT_WHOLE, PASSING, TIMED_OUT, Reply, asked_wait, read
from pipeline.service.quota.pace import Pace


def base_url(section: Section, *default: str) -> str:
    """The key `base_url`, without a slash at its end. Raises InputError where it is no URL."""
    url: str = section.text("base_url", *default).rstrip("/")
    if re.search(r"[@?#]", url):
        raise section.error(
            "base_url",
            "should hold no user, password or ?query (the run's folder keeps it): a key belongs "
            "into api_key_env or api_key_file",
        )
    if not re.match(r"https?://[^/\s]", url):
        raise section.error("base_url", f"should begin with http:// or https://, not {url!r}")
    return url


class Stopped(Exception):
    """The task is ending; this post was not asked (again)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How often a request is sent again and how long 429 is waited out, in seconds."""

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 30.0
    throttled_seconds: float = 600.0
    timeout: float = 60.0


class Endpoint:
    """POSTs JSON to one URL from many threads, and tells what one post gets from what all get.

    `trouble` is what the last reply said if it was no success; '' otherwise.

    Args:
        url: where to; only its end, as /chat/completions, where there is a `server`.
        probe: of a post's payload, one asked likewise that is answered whenever anything is.
        is_answer: whether what came with HTTP 200 for a payload is one.
        is_whole: whether such a body is an answer at all, and not the service's trouble.
        outage: advice that goes with a fault of the whole service.
        server: the address of the task's own server, waited for where it is starting (again):
            another after each start. Raises TaskError or Stopped.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str],
        secret: Secret,
        connections: int,
        pace: Pace,
        patience: Patience,
        until_next_bucket: Callable[[], float] | None = None,
        probe: Callable[[Any], Any] | None = None,
        is_answer: Callable[[Any, Reply], bool] = lambda payload, reply: True,
        is_whole: Callable[[Any], bool] = lambda body: True,
        outage: str = "",
        server: Callable[[threading.Event], str] | None = None,
    ) -> None:
        self.url = f"the task's server: {url}" if server else url
        self._path = url
        self._server = server
        self._probe = probe
        self._is_answer = is_answer
        self._is_whole = is_whole
        self._outage = outage
        self._secret = secret
        self._pace = pace
        self._patience = patience
        self._until_next_bucket = until_next_bucket
        self._answered, self.trouble = 0, ""
        self._session = requests.Session()
        self._session.headers.update(headers)
        # A proxy's or netrc's credentials must not replace our header.
        self._session.auth = lambda request: request
        # Nor must a proxy be asked for what is on this machine.
        self._session.trust_env = server is None
        adapter = HTTPAdapter(pool_maxsize=connections, pool_connections=1)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def post(self, payload: Any, stop: threading.Event, *, tries: int | None = None) -> Reply:
        """The service's answer to `payload`.

        A 500, a timeout or no JSON, again and again while others or the probe are answered, is this
        post's own and is returned; else the service is at fault, and no post of it.

        Raises TaskError (crashed, throttled), or Stopped.
        """
        answered_before, allowed = float("inf"), tries or self._patience.tries
        throttled_since, answered_then = None, 0
        throttled, sent, url = 0, 0, ""
        while True:
            last_url, url = url, self._where(stop)
            if url != last_url:
                sent = 0  # tries of a server that died prove nothing about this request
            if not self._pace.wait(stop):
                raise Stopped
            reply, wait = self._send(url, payload)
            self.trouble = "" if reply.status == 200 else reply.shown
            if reply.status == 429 and not reply.is_final:
                # As long as others get through it is only this one's turn that is late.
                if throttled_since is None or self._answered > answered_then:
                    throttled_since, answered_then = time.monotonic(), self._answered
                if time.monotonic() - throttled_since > self._patience.throttled_seconds:
                    raise TaskError(Cause.THROTTLED, f"{self.url}: {reply.shown}")
                throttled += 1  # no try of this request: the service has not looked at it
                self._pace.pause(self._until_quota(wait, throttled))
                continue
            passing = reply.failed or reply.status in PASSING
            if not passing and not reply.retry:
                if reply.status == 200 and self._is_answer(payload, reply):
                    self._answered += 1
                return reply
            sent += 1
            if sent >= allowed or reply.retry is False:
                if tries or not passing:
                    return reply
                if self._where(stop) != url:
                    continue
                others = self._answered > answered_before or self.answers_probe(payload, stop, 1)
                if others and reply.status in (500, NOT_WHOLE, TIMED_OUT):
                    return reply
                # A gateway's 502 to 504 and a cut connection may be the post's as well, or passing
                # trouble of the service: tried alone, in another life, it will tell.
                fault = f"{self.url}: {reply.shown} ({sent} times){'' if others else self._outage}"
                raise TaskError(Cause.CRASHED, fault, blames_post=others)
            answered_before = self._answered  # sooner is no proof: an outage may have come since
            if stop.wait(wait or self._backoff(sent)):
                raise Stopped

    def answers_probe(self, refused: Any, stop: threading.Event, tries: int | None = None) -> bool:
        """Whether what `refused` just met is its post's own: others that were answered before
        say nothing, as all that are in flight when a service ends saw some. Raises as `post`."""
        if self._probe is None:
            return False
        payload = self._probe(refused)
        reply = self.post(payload, stop, tries=tries)
        return reply.status == 200 and self._is_answer(payload, reply)

    def _where(self, stop: threading.Event) -> str:
        return self._server(stop) + self._path if self._server else self._path

    def _send(self, url: str, payload: Any) -> tuple[Reply, float | None]:
        """The reply and how long the service asks to wait, if it does."""
        try:
            response = self._session.post(
                url, json=payload, timeout=(10, self._patience.timeout), allow_redirects=False
            )
        except requests.Timeout as error:
            return self._no_reply(TIMED_OUT, error), None
        except (requests.RequestException, ValueError) as error:  # of a Location that is no URL
            return self._no_reply(CUT, error), None
        # UTF-8, as JSON is: of a body without a charset requests guesses one, slowly and wrongly.
        # And the key first: cut in the middle, it would not be found.
        text = self._secret.redact(response.content.decode(errors="replace"))
        reply = read(response.status_code, response.headers, text, is_whole=self._is_whole)
        return reply, asked_wait(response.headers)

    def _no_reply(self, status: int, error: Exception) -> Reply:
        return Reply(status=status, body=None, shown=self._secret.redact(str(error))[:300])

    def _until_quota(self, asked: float | None, sent: int) -> float:
        if asked:
            return asked
        if self._until_next_bucket:
            return self._until_next_bucket()
        return self._backoff(sent)

    def _backoff(self, sent: int) -> float:
        longest = min(self._patience.longest_wait, self._patience.first_wait * 2**sent)
        return float(longest * random.uniform(0.5, 1.0))
