"""The only door to a classifier's HTTP service: one POST with its retries, never a verdict lost.

Retries what may pass (408, 409, 425, 429, 5xx, cut connections, bodies that are not JSON) and
returns everything else for the classifier to judge. The key travels in a header: URLs end up in
tracebacks and proxies' logs.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from pipeline.budget.pace import Pace
from pipeline.errors import Cause, TaskError
from pipeline.secret import Secret
from pipeline.section import Section

PASSING = frozenset({408, 409, 425})
NOT_WHOLE = 0


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A status and its JSON body. Status 0: a 200, but no JSON, or not whole. `text`: as it came,
    but for the key; None where nothing came. `retry`: whether the service says to ask again."""

    status: int
    body: Any
    shown: str
    text: str | None = None
    retry: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether it says nothing of the post: no JSON, nothing at all, or the service's fault."""
        return self.status >= 500 or self.status <= NOT_WHOLE

    @property
    def reason(self) -> str:
        """Why a post has no label, where its status is all that there is to say."""
        return f"http_{self.status}" if self.status > 0 else "no_answer"


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
        self._probe, self._is_answer, self._is_whole = probe, is_answer, is_whole
        self._secret, self._pace, self._patience = secret, pace, patience
        self._until_next_bucket, self._outage = until_next_bucket, outage
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
            if reply.status == 429 and not _is_final(reply):
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
                if others and reply.status in (500, NOT_WHOLE, _TIMED_OUT):
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
            return self._no_reply(_TIMED_OUT, error), None
        except (requests.RequestException, ValueError) as error:  # of a Location that is no URL
            return self._no_reply(_CUT, error), None
        # UTF-8, as JSON is: of a body without a charset requests guesses one, slowly and wrongly.
        # And the key first: cut in the middle, it would not be found.
        text = self._secret.redact(response.content.decode(errors="replace"))
        status, shown = response.status_code, f"HTTP {response.status_code}: {text[:300]}"
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):  # also of numbers too long, and nested too deep
            body, status = None, NOT_WHOLE if status == 200 else status
        if status == 200 and not self._is_whole(body):
            status = NOT_WHOLE
        reply = Reply(status=status, body=body, shown=shown, text=text, retry=_advice(response))
        return reply, _asked_wait(response)

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


_TIMED_OUT, _CUT = -1, -2


def _is_final(throttled: Reply) -> bool:
    """`insufficient_quota` comes as a 429 and never passes (OpenAI's error codes)."""
    error = throttled.body.get("error") if isinstance(throttled.body, dict) else None
    return throttled.retry is False or (
        isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type"))
    )


def _advice(response: requests.Response) -> bool | None:
    """OpenAI's header, which overrules the status, as in its own clients; a 200 needs none."""
    said = None if response.status_code == 200 else response.headers.get("x-should-retry")
    return {"true": True, "false": False}.get(said or "")


def _asked_wait(response: requests.Response) -> float | None:
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = response.headers.get(header, "")
        if value.replace(".", "", 1).isdecimal():
            return min(float(value) / unit, 300.0)
    return None
