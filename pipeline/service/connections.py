"""Keep the connections to a service, and send requests over them.

`requests` prepares each request anew: URL, headers, cookies, proxies, hooks. That takes longer than
all else that a task does for a request. Here it prepares one for each address, and `urllib3` sends
all that follow. No redirect is followed and no cookie is kept.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from requests.exceptions import InvalidProxyURL
from urllib3 import HTTPConnectionPool, Retry, Timeout
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from pipeline.service.causes import CONNECT_TIMEOUT_SECONDS
from pipeline.service.limited_http import ACCEPTED_ENCODINGS, AnswerLimits, LimitedAdapter
from pipeline.service.route import Proxy, Route, find_route

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse  # urllib3 1.26 has another name for it

# As `requests` does: an error while reading is raised as it is.
_NO_RETRIES = Retry(0, read=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How requests get to one address."""

    pool: HTTPConnectionPool
    """The connections."""
    target: str
    """What the first line of a request names: a path, or for some proxies the whole address."""
    headers: Mapping[str, str]
    """Those of every request."""
    proxy: Proxy | None
    """The proxy on the way; None if there is none."""


class Connections:
    """The connections of one task, for many threads."""

    def __init__(
        self, *, headers: Mapping[str, str], limits: AnswerLimits, connections: int
    ) -> None:
        """Open no connection yet; the arguments are those of `HttpSender`."""
        self._adapter = LimitedAdapter(limits, connections=connections)
        self._session = requests.Session()
        # The environment is read once for each address, by `find_route`. A netrc is never read.
        self._session.trust_env = False
        self._session.headers.update({"Accept-Encoding": ACCEPTED_ENCODINGS, **headers})
        self._timeout = Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=limits.seconds)
        self._routes: dict[str, Route] = {}
        self._ways: dict[str, Way] = {}

    def proxy(self, url: str) -> Proxy | None:
        """Return the proxy for an address; None if there is none.

        Raises:
            PermanentFault: the environment names a file of certificates that cannot be used.
        """
        if url not in self._routes:
            self._routes[url] = find_route(url)
        return self._routes[url].proxy

    @contextlib.contextmanager
    def post(self, url: str, body: bytes) -> Iterator["BaseHTTPResponse"]:
        """Send JSON, and yield the response; its body is still to be read.

        Raises:
            TooSlow, TooLong: a limit was exceeded.
            requests.RequestException, urllib3's HTTPError, OSError, ValueError: there is no
                response.
        """
        way = self._ways.get(url) or self._find_way(url)
        try:
            response = way.pool.urlopen(
                "POST",
                way.target,
                body,
                way.headers,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except MaxRetryError as error:
            reason = error.reason
            # In urllib3 1.26, an error of one kind is of the other one as well.
            is_refused = isinstance(reason, NewConnectionError)
            if isinstance(reason, ConnectTimeoutError) and not is_refused:
                raise requests.ConnectTimeout(error) from error
            raise
        try:
            yield response
        finally:
            response.close()  # with its connection, unless the whole body was read
            response.release_conn()

    def _find_way(self, url: str) -> Way:
        proxy = self.proxy(url)
        route = self._routes[url]
        # `requests` says what is wrong with an address, and writes its host as DNS has it.
        prepared = self._session.prepare_request(requests.Request("POST", url, json={}))
        address = str(prepared.url)
        self._session.get_adapter(address)  # raises InvalidSchema
        manager = self._adapter.poolmanager
        target = prepared.path_url
        if proxy:
            if not proxy.place:
                raise InvalidProxyURL("the proxy has no address")
            proxy_url = proxy.url if "://" in proxy.url else f"http://{proxy.url}"
            manager = self._adapter.proxy_manager_for(proxy_url)
            if address.startswith("http://") and not proxy.scheme.startswith("socks"):
                target = requests.utils.urldefragauth(address)
        pool = manager.connection_from_url(address, pool_kwargs=_trust(route.authorities))
        headers = {
            name: _as_text(value)
            for name, value in prepared.headers.items()
            if name.lower() != "content-length"
        }
        way = self._ways[url] = Way(pool=pool, target=target, headers=headers, proxy=proxy)
        return way


def _trust(authorities: str | bool) -> dict[str, Any]:
    """Return how a pool of connections checks certificates."""
    place = DEFAULT_CA_BUNDLE_PATH if isinstance(authorities, bool) else authorities
    kind = "ca_cert_dir" if Path(place).is_dir() else "ca_certs"
    return {"cert_reqs": "CERT_REQUIRED", kind: place}


def _as_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
