"""A request that cannot arrive names its cause, and a permanent one ends the task at once."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, Service
from tests.pipeline.classifiers.classifier_setup import KEY, QUICK, Scripted
from tests.pipeline.service.scripted_replies import GOOD, NEVER
from tests.servers.http import Reply
from tests.servers.proxy import TunnelProxy
from tests.servers.tls import TlsServer, make_certificate

PATH = "/chat/completions"
PASSWORD = "hunter2hunter2"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE",
             "CURL_CA_BUNDLE")  # fmt: skip


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def make_endpoint(base_url: str) -> Endpoint:
    return Endpoint(
        Service(
            url=base_url + PATH,
            path=PATH,
            headers={"Authorization": f"Bearer {KEY}"},
            secret=Secret(KEY),
            connections=1,
        ),
        limiter=RateLimiter(),
        policy=QUICK,
        rules=ReplyRules(),
    )


def fault(base_url: str) -> TaskError:
    with pytest.raises(TaskError) as raised:
        make_endpoint(base_url).post({"q": 1}, NEVER)
    return raised.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[TlsServer]:
    with TlsServer(certificate, GOOD) as server:
        yield server


def test_an_unknown_authority_is_refused_at_once(tls_server: TlsServer) -> None:
    error = fault(tls_server.url)
    assert (error.cause, tls_server.seen) == (Cause.REFUSED, [])


def test_requests_ca_bundle_makes_an_authority_known(
    tls_server: TlsServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("cert.pem")))
    assert make_endpoint(tls_server.url).post({}, NEVER).status == 200


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_refused_at_once(
    tls_server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content:
        (tmp_path / "bundle.pem").write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    assert fault(tls_server.url).cause is Cause.REFUSED


@pytest.mark.parametrize(
    "certificate_of",
    [
        lambda folder: make_certificate(folder, days=-1),
        lambda folder: make_certificate(folder, hosts="subjectAltName=DNS:another.example"),
    ],
    ids=["expired", "another host's"],
)
def test_a_wrong_certificate_is_refused_at_once_although_its_authority_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate_of: Callable[[Path], Path]
) -> None:
    certificate = certificate_of(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("cert.pem")))
    with TlsServer(certificate, GOOD) as server:
        assert fault(server.url).cause is Cause.REFUSED
    assert server.seen == []


def test_https_to_a_server_without_tls_is_refused_at_once() -> None:
    with Scripted(lambda nth: GOOD) as server:
        error = fault(server.url.replace("http://", "https://"))
    assert error.cause is Cause.REFUSED


def test_http_to_a_server_with_tls_is_refused_at_once(tls_server: TlsServer) -> None:
    error = fault(tls_server.url.replace("https://", "http://"))
    assert (error.cause, tls_server.seen) == (Cause.REFUSED, [])


def test_a_tls_fault_after_an_answer_may_pass(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate is being replaced: one of several machines still has the old one."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("cert.pem")))
    with TlsServer(certificate, GOOD) as server:
        endpoint = make_endpoint(server.url)
        assert endpoint.post({}, NEVER).status == 200
        port = server.port
    expired = make_certificate(tmp_path, days=-1)
    other = TlsServer(expired, GOOD)
    other.port = port
    with other, pytest.raises(TaskError) as raised:
        endpoint.post({}, NEVER)
    assert raised.value.cause is Cause.UNAVAILABLE


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("base_url", ["http://no-such-host.invalid/v1", "http://127.0.0.1:{port}"])
def test_a_host_that_cannot_be_reached_now_is_tried_again(base_url: str) -> None:
    error = fault(base_url.format(port=free_port()))
    assert error.cause is Cause.UNAVAILABLE
    assert str(error).endswith("(6 tries)")


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_a_proxy_that_opens_no_tunnel_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    with TunnelProxy(status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        error = fault("https://service.example/v1")
    assert (error.cause, len(proxy.asked)) == (Cause.REFUSED, 1)
    assert PASSWORD not in str(error)


def test_a_proxy_without_its_service_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with TunnelProxy("502 Bad Gateway") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        error = fault("https://service.example/v1")
    assert (error.cause, len(proxy.asked)) == (Cause.UNAVAILABLE, QUICK.attempts)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_reached_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:{PASSWORD}@127.0.0.1:{free_port()}")
    error = fault(f"{scheme}://service.example/v1")
    assert error.cause is Cause.UNAVAILABLE
    assert PASSWORD not in str(error)


def test_a_proxy_named_with_https_that_has_no_tls_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Scripted(lambda nth: GOOD) as proxy:
        monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{proxy.port}")
        assert fault("https://service.example/v1").cause is Cause.REFUSED


@pytest.mark.parametrize(
    "proxy_url", ["http://:", "ftp://proxy.example:21", "http://h:abc", "http://h:99999"]
)
def test_a_proxy_without_a_usable_address_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, proxy_url: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    assert fault("https://service.example/v1").cause is Cause.REFUSED


def test_a_407_of_a_proxy_for_http_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(lambda nth: Reply(status=407, body="<html>")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        error = fault("http://service.example/v1")
    assert (error.cause, len(proxy.seen)) == (Cause.REFUSED, 1)


def test_a_page_of_a_proxy_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(lambda nth: Reply(status=403, body="<html>blocked")) as proxy:
        address = proxy.url.removeprefix("http://")
        monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@{address}")
        reply = make_endpoint("http://service.example/v1").post({}, NEVER)
    assert (reply.status, PASSWORD in reply.summary) == (403, False)
    assert f"the proxy of ALL_PROXY ({address})" in reply.summary


def test_a_tunnel_through_a_proxy_is_used(
    tls_server: TlsServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy finds this machine under a name that does not tell."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("cert.pem")))
    monkeypatch.setattr("pipeline.service.route.is_loopback", lambda url: False)
    with TunnelProxy() as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        assert make_endpoint(tls_server.url).post({}, NEVER).status == 200
    assert proxy.asked == [f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.0"] or proxy.asked == [
        f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.1"
    ]
    assert proxy.credentials[0].startswith("Proxy-Authorization: Basic ")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "LOCALHOST", "0.0.0.0"])
def test_loopback_is_never_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    with Scripted(lambda nth: GOOD) as proxy, Scripted(lambda nth: GOOD) as server:
        monkeypatch.setenv(variable, proxy.url)
        endpoint = make_endpoint(f"http://{host}:{server.port}")
        assert endpoint.post({}, NEVER).status == 200
    assert (len(server.seen), proxy.seen) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_the_base_url_to_set(status: int) -> None:
    moved = Reply(status=status, headers={"Location": f"https://new.example/v2{PATH}?a=b"})
    with Scripted(lambda nth: moved) as server:
        reply = make_endpoint(f"{server.url}/v1").post({}, NEVER)
    assert reply.status == status
    assert "set classifier.base_url to https://new.example/v2" in reply.summary
    assert not reply.summary.endswith(PATH)


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "http://h:99999/", "http://h:x/", "ftp://h/", "//", "http://\xff\xfe"],
)
def test_a_redirect_to_no_address_is_returned_at_once(location: str) -> None:
    lost = Reply(status=302, headers={"Location": location})
    with Scripted(lambda nth: lost) as server:
        assert make_endpoint(server.url).post({}, NEVER).status == 302
        assert len(server.seen) == 1


def test_a_fault_that_is_permanent_ends_all_requests_of_a_task() -> None:
    with Scripted(lambda nth: GOOD) as server:
        endpoint = make_endpoint(server.url.replace("http://", "https://"))
        errors: list[TaskError] = []

        def ask() -> None:
            try:
                endpoint.post({}, NEVER)
            except TaskError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert [error.cause for error in errors] == [Cause.REFUSED] * 3
