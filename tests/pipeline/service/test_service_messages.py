"""What a person reads when a service cannot be reached; other tests assert causes only."""

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from pipeline.errors import TaskError
from pipeline.service.causes import explain
from pipeline.service.http_reply import parse_reply
from pipeline.service.route import Proxy
from tests.pipeline.classifiers.classifier_setup import Scripted
from tests.pipeline.service.scripted_replies import GOOD, NEVER
from tests.pipeline.service.test_causes import PATH, fault, make_endpoint
from tests.servers.http import Reply
from tests.servers.proxy import TunnelProxy
from tests.servers.tls import TlsServer, make_certificate

PROXY = Proxy(variable="HTTPS_PROXY", url="http://me:hunter2hunter2@proxy.example:3128")


def certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            certificate_error(18, "self-signed certificate"),
            "the TLS certificate of h is not accepted: self-signed certificate: if you trust it, "
            "set REQUESTS_CA_BUNDLE to a file with the certificate of its authority, also for the "
            "tasks (cluster.setup)",
        ),
        (
            certificate_error(10, "certificate has expired"),
            "the TLS certificate of h is not accepted: certificate has expired: it must be "
            "renewed, unless this machine's clock is wrong",
        ),
        (
            certificate_error(62, "Hostname mismatch, certificate is not valid for 'h'."),
            "the TLS certificate of h is not accepted: Hostname mismatch, certificate is not valid "
            "for 'h': use the name that the certificate is for",
        ),
        (
            tls_error("WRONG_VERSION_NUMBER"),
            "h answers without TLS: is it http:// instead of https://? Check classifier.base_url",
        ),
        (
            tls_error("UNSUPPORTED_PROTOCOL"),
            "h and this machine have no version of TLS in common (UNSUPPORTED_PROTOCOL)",
        ),
        (
            tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "h demands a certificate from its clients (TLSV13_ALERT_CERTIFICATE_REQUIRED), which "
            "is not supported",
        ),
    ],
)
def test_of_tls(error: Exception, words: str) -> None:
    no_answer = explain(requests.exceptions.SSLError(error), url="https://h/v1", proxy=None)
    assert no_answer
    assert (no_answer.words, no_answer.is_permanent) == (words, True)


@pytest.mark.parametrize("reason", ["UNEXPECTED_EOF_WHILE_READING", "BAD_RECORD_TYPE", None])
def test_a_connection_that_breaks_during_tls_has_no_permanent_cause(reason: str | None) -> None:
    error = tls_error(reason) if reason else ssl.SSLEOFError(8, "EOF occurred")
    cause = explain(requests.exceptions.SSLError(error), url="https://h/v1", proxy=None)
    assert cause is None


def test_of_plain_http_to_a_server_with_tls(tmp_path: Path) -> None:
    with TlsServer(make_certificate(tmp_path), GOOD) as server:
        base_url = server.url.replace("https://", "http://") + "/v1"
        error = fault(base_url)
    assert str(error) == (
        f"{base_url}{PATH}: it accepts only TLS: set classifier.base_url to {server.url}/v1"
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("403 Forbidden", "HTTP 403: ask its operator to allow it, or name the host in NO_PROXY"),
        ("407 No", "HTTP 407: put its user and password into HTTPS_PROXY"),
        ("502 Bad Gateway", "HTTP 502 (6 tries)"),
    ],
)
def test_of_a_proxy_that_opens_no_tunnel(
    monkeypatch: pytest.MonkeyPatch, status: str, words: str
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    with TunnelProxy(status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2hunter2@127.0.0.1:{proxy.port}")
        error = fault("https://service.example/v1")
    assert str(error) == (
        f"https://service.example/v1{PATH}: the proxy of HTTPS_PROXY (127.0.0.1:{proxy.port}) "
        f"does not open a connection to service.example: {words}"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            requests.exceptions.InvalidSchema("no SOCKS"),
            "the proxy of HTTPS_PROXY (proxy.example:1080) needs the package PySocks: run "
            "`pip install pysocks` in the tasks' Python, or unset HTTPS_PROXY",
        ),
    ],
)
def test_of_socks(error: Exception, words: str) -> None:
    proxy = Proxy(variable="HTTPS_PROXY", url="socks5h://proxy.example:1080")
    no_answer = explain(error, url="https://h/v1", proxy=proxy)
    assert no_answer
    assert (no_answer.words, no_answer.is_permanent) == (words, True)


@pytest.mark.parametrize("show", [str, repr])
def test_a_proxy_shows_no_password(show: Callable[[Proxy], str]) -> None:
    assert show(PROXY) in (
        "the proxy of HTTPS_PROXY (proxy.example:3128)",
        "Proxy(the proxy of HTTPS_PROXY (proxy.example:3128))",
    )


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            f"https://new.example/v2{PATH}",
            f"HTTP 307: it redirects to https://new.example/v2{PATH}, which is not followed: set "
            "classifier.base_url to https://new.example/v2",
        ),
        (
            "https://login.example/?next=x",
            "HTTP 307: it redirects to https://login.example/, which is not followed",
        ),
        ("", "HTTP 307: "),
        ("?again=1", "HTTP 307: it redirects to the same address"),
        ("http://host:port/", "HTTP 307: it redirects, but names no valid target"),
    ],
)
def test_of_redirects(location: str, words: str) -> None:
    moved = Reply(status=307, headers={"Location": location})
    with Scripted(lambda nth: moved) as server:
        assert make_endpoint(server.url).post({}, NEVER).summary == words


def test_of_a_time_to_wait_that_is_too_long() -> None:
    late = Reply(status=400, body={}, headers={"Retry-After": "86400"})
    with Scripted(lambda nth: late) as server:
        reply = make_endpoint(server.url).post({}, NEVER)
    assert reply.summary == "HTTP 400: {} (it asks to wait 24.0 hours)"


def test_of_a_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(TaskError) as raised:
        make_endpoint("https://127.0.0.1:1").post({}, NEVER)
    assert str(raised.value) == (
        f"https://127.0.0.1:1{PATH}: REQUESTS_CA_BUNDLE names /nowhere/ca.pem, which cannot be "
        "read: No such file or directory"
    )


PADDING = {"details": [{"reason": "API_KEY_INVALID"}, {"padding": "x" * 120}]}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": "no"}, '{"error": "no"}'),
        (
            {"error": {"code": 400, "message": "Bad\x1b[2J key.", "status": "INVALID", **PADDING}},
            "Bad key. (INVALID, API_KEY_INVALID)",
        ),
        (
            {"error": {"message": "m" * 150, "type": "bad_request", "code": "bad_request"}},
            f"{'m' * 150} (bad_request)",
        ),
        ({"detail": "d" * 150}, "d" * 150),
        ({"error": {"message": 7, **PADDING}}, None),
        (["x" * 150], None),
    ],
)
def test_a_long_error_is_shown_by_its_message(body: object, shown: str | None) -> None:
    text = json.dumps(body)
    reply = parse_reply(400, {}, text, is_complete=lambda _: True)
    assert reply.summary == f"HTTP 400: {text[:300] if shown is None else shown}"
