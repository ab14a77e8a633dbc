"""Send one POST and read what comes back: the reply, or why there is none.

`endpoint` decides what follows from a reply.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pipeline.config.secret import Secret
from pipeline.limits import in_words
from pipeline.service.address import redirect_target
from pipeline.service.causes import explain, speaks_only_tls
from pipeline.service.connections import Connections
from pipeline.service.http_reply import (
    DISCONNECTED,
    INCOMPLETE,
    LONGEST_WAIT_SECONDS,
    TIMED_OUT,
    Reply,
    no_reply,
    parse_reply,
    without_body,
)
from pipeline.service.limited_http import (
    AnswerLimits,
    TooLong,
    TooSlow,
    UndecodableBody,
    read_body,
)
from pipeline.service.retry_after import requested_wait_s
from pipeline.service.route import PermanentFault, Proxy
from pipeline.system.shortage import find_shortage

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse  # urllib3 1.26 has another name for it

_REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyMeaning:
    """What the sender needs to know about a service to say what a reply means."""

    path: str
    """The part of the URL that `base_url` does not name."""

    is_complete: Callable[[Any], bool]
    """Whether the body of an HTTP 200 is an answer at all."""


class HttpSender:
    """Sends JSON from many threads, each time once."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        secret: Secret,
        limits: AnswerLimits,
        connections: int,
        meaning: ReplyMeaning,
    ) -> None:
        """Open no connection yet.

        Args:
            headers: sent with every request, the key among them.
            secret: the key, to redact it from everything that is shown.
            limits: what an answer may take.
            connections: how many connections to keep open.
            meaning: what replies mean.
        """
        self._secret = secret
        self._limits = limits
        self._meaning = meaning
        self._has_replied = False
        self._connections = Connections(headers=headers, limits=limits, connections=connections)

    def send(self, url: str, payload: Any) -> tuple[Reply, float | None]:
        """Return the reply, and how many seconds the service asks to wait, if it does.

        Raises:
            PermanentFault: every request meets the same fault until a person changes something.
            OSError: this machine lacks what a request needs, such as file descriptors.
        """
        proxy = self._connections.proxy(url)
        body = json.dumps(payload, allow_nan=False).encode()
        try:
            with self._connections.post(url, body) as response:
                reply = self._read(url, response, proxy if url.startswith("http://") else None)
                self._has_replied = True
                # An answer does not ask to wait.
                wait_s = None if reply.status == 200 else requested_wait_s(response.headers)
        except requests.ConnectTimeout as error:
            return self._explain(error, url, proxy), None
        except (TooSlow, ReadTimeoutError):
            return no_reply(TIMED_OUT, self._too_slow), None
        except TooLong:  # its headers
            return no_reply(INCOMPLETE, self._too_long), None
        # ValueError: a proxy that is not a URL
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return self._explain(error, url, proxy), None
        if wait_s is None or wait_s <= LONGEST_WAIT_SECONDS:
            return reply, wait_s
        reply = replace(reply, summary=f"{reply.summary} (it asks to wait {_in_words(wait_s)})")
        return reply, LONGEST_WAIT_SECONDS

    def _explain(self, error: Exception, url: str, proxy: Proxy | None) -> Reply:
        """Return the reply of a request that failed before anything came back.

        Raises:
            PermanentFault, OSError: as `send`.
        """
        if shortage := find_shortage(error):
            raise shortage from error
        cause = explain(error, url=url, proxy=proxy)
        if cause is None:
            if not self._has_replied and not self._limits.listener and not proxy:
                self._check_tls(error, url)
            return no_reply(DISCONNECTED, self._secret.redact(str(error)))
        # What has worked before may work again: a certificate is being replaced, for example.
        if cause.is_permanent and not self._has_replied:
            raise PermanentFault(self._secret.redact(cause.words)) from None
        return no_reply(DISCONNECTED, self._secret.redact(cause.words))

    def _check_tls(self, error: Exception, url: str) -> None:
        if speaks_only_tls(url, error):
            secure = url.replace("http://", "https://", 1).removesuffix(self._meaning.path)
            raise PermanentFault(f"it accepts only TLS: set classifier.base_url to {secure}")

    def _read(self, url: str, response: "BaseHTTPResponse", proxy: Proxy | None) -> Reply:
        """Return the reply that a response stands for, once its body has come.

        Args:
            url: where the request went.
            response: the response.
            proxy: the proxy that may have made it up; None where no proxy can.
        """
        reply = self._read_body(response)
        if reply.status == 407 and proxy:
            raise PermanentFault(
                f"{proxy} answered HTTP 407: put its user and password into {proxy.variable}"
            )
        if reply.status in _REDIRECTS and (location := response.headers.get("Location")):
            words = self._describe_redirect(url, location)
            return replace(reply, summary=f"HTTP {reply.status}: {words}")
        if proxy and reply.status != 200:
            return replace(reply, summary=f"{reply.summary} (sent by {proxy}, or through it)")
        return reply

    def _describe_redirect(self, url: str, location: str) -> str:
        target = redirect_target(url, location)
        if not target:
            return "it redirects, but names no valid target"
        if target == url:
            return "it redirects to the same address"
        base_url = target.removesuffix(self._meaning.path)
        advice = f": set classifier.base_url to {base_url}" if base_url != target else ""
        return self._secret.redact(f"it redirects to {target}, which is not followed{advice}")

    def _read_body(self, response: "BaseHTTPResponse") -> Reply:
        status, headers = response.status, response.headers
        try:
            content = read_body(response, self._limits.most_bytes)
        except TooSlow:
            return without_body(status, headers, self._too_slow, instead=TIMED_OUT)
        except TooLong:
            return without_body(status, headers, self._too_long, instead=INCOMPLETE)
        except UndecodableBody as error:
            return without_body(status, headers, str(error), instead=INCOMPLETE)
        # JSON is UTF-8. For a body without a charset requests guesses one, slowly and wrongly.
        # Redact before anything is cut off: half a key would not be recognized.
        text = self._secret.redact(content.decode(errors="replace"))
        return parse_reply(status, headers, text, is_complete=self._meaning.is_complete)

    @property
    def _too_slow(self) -> str:
        return f"the answer was not complete within {self._limits.seconds:g} s"

    @property
    def _too_long(self) -> str:
        return f"the answer is longer than {in_words(self._limits.most_bytes)}"


def _in_words(seconds: float) -> str:
    """Return a time that is longer than minutes."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{min(hours / 24, 9999):.0f} days"
