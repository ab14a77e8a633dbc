"""The time for a request includes its connection, the way through a proxy, and its upload."""

from pathlib import Path

import pytest

from pipeline.config.secret import NO_KEY
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import TIMED_OUT, Reply
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from tests.pipeline.classifiers.classifier_setup import Scripted
from tests.pipeline.service.scripted_replies import NEVER
from tests.servers import http
from tests.servers.raw import RawServer, drip
from tests.servers.slow_reader import SlowReader
from tests.servers.tls import make_certificate

LARGE = "x" * (16 << 20)


def ask(url: str, *, timeout_s: float, text: str = "") -> Reply:
    """Return the one reply to a request that is not repeated."""
    endpoint = Endpoint(
        Service(url=url, headers={}, secret=NO_KEY, connections=1),
        limiter=RateLimiter(),
        policy=RequestPolicy(timeout_s=timeout_s),
        rules=ReplyRules(),
    )
    return endpoint.post({"q": text}, NEVER, attempts=1)


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "TLS"])
def test_a_server_that_takes_the_request_slowly_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_tls: bool
) -> None:
    """It takes some bytes now and then, so that no single read takes long."""
    certificate = make_certificate(tmp_path) if has_tls else None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    with SlowReader(certificate) as server:
        reply = ask(server.url, timeout_s=0.4, text=LARGE)
    assert (reply.status, reply.may_pass) == (TIMED_OUT, True)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    ],
    ids=["status", "header", "headers"],
)
def test_a_proxy_that_opens_a_tunnel_byte_by_byte_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, before: bytes, piece: bytes
) -> None:
    with RawServer(drip(before, piece)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        reply = ask("https://service.example/", timeout_s=0.3)
    assert (reply.status, reply.may_pass) == (TIMED_OUT, True)


def test_a_connection_that_is_kept_gives_each_request_its_whole_time() -> None:
    """Three requests on one connection take longer together than one may take."""
    with Scripted(lambda nth: http.Reply(body={}, delay_s=0.25)) as server:
        endpoint = Endpoint(
            Service(url=server.url, headers={}, secret=NO_KEY, connections=1),
            limiter=RateLimiter(),
            policy=RequestPolicy(timeout_s=0.6),
            rules=ReplyRules(),
        )
        statuses = [endpoint.post({}, NEVER, attempts=1).status for _ in range(3)]
    assert statuses == [200, 200, 200]
