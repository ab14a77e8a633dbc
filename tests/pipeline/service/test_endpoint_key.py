"""Where the key is sent, where it never shows, and which URLs are accepted."""

from pathlib import Path

import pytest

from pipeline.config.secret import Secret
from pipeline.errors import TaskError
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import DISCONNECTED
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, Service
from tests.pipeline.classifiers.classifier_setup import KEY, QUICK, Scripted, chain, endpoint
from tests.pipeline.service.scripted_replies import GOOD, NEVER
from tests.servers.http import LoopbackServer, Reply


def failure(server: LoopbackServer) -> TaskError:
    with pytest.raises(TaskError) as raised:
        endpoint(server).post({}, NEVER)
    return raised.value


def test_a_redirect_is_not_followed_with_the_key() -> None:
    with Scripted(lambda nth: GOOD) as other:
        headers = {"Location": other.url + "/steal"}
        with Scripted(lambda nth: Reply(status=307, body="moved", headers=headers)) as server:
            assert endpoint(server).post({}, NEVER).status == 307
    assert other.seen == []


@pytest.mark.parametrize("before", [0, 270, 280, 290, 299, 300])
@pytest.mark.parametrize("status", [400, 503])
def test_no_message_contains_the_key(before: int, status: int) -> None:
    """The service quotes our headers; its page may be cut off in the middle of the key."""
    page = "x" * before + KEY + " is what you sent"
    with Scripted(lambda nth: Reply(status=status, body=page)) as server:
        message = (
            endpoint(server).post({}, NEVER).summary if status == 400 else chain(failure(server))
        )
        sent = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert sent["x-goog-api-key"] == KEY
    assert KEY not in server.seen[0].path
    assert server.seen[0].query == {}
    assert KEY[:4] not in message
    assert "x" * before in message


def test_a_netrc_does_not_replace_our_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Scripted(lambda nth: GOOD) as server:
        endpoint(server).post({}, NEVER)
    assert server.seen[0].headers.get("Authorization") is None


def test_a_key_that_the_service_echoes_is_redacted_from_the_body() -> None:
    echo = Reply(body={"said": f"you sent {KEY}"})
    with Scripted(lambda nth: echo) as server:
        reply = endpoint(server).post({}, NEVER)
    assert reply.body == {"said": "you sent [key]"}


def proven_by(server: LoopbackServer, *listeners: object) -> Endpoint:
    """Return an endpoint whose listener is, each time it is asked for, the next one or an error."""
    answers = iter(listeners)

    def listener(port: int) -> object:
        assert port == server.port
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    return Endpoint(
        Service(
            url=server.url,
            headers={"X-Goog-Api-Key": KEY},
            secret=Secret(KEY),
            connections=1,
            listener=listener,
        ),
        limiter=RateLimiter(),
        policy=QUICK,
        rules=ReplyRules(),
    )


@pytest.mark.parametrize(
    "listeners",
    [
        [ConnectionRefusedError("a stranger")],
        ["ours", ConnectionRefusedError("a stranger")],
        ["ours", "ours, and another"],
    ],
    ids=["before the connection", "after the connection", "another one by then"],
)
def test_nothing_is_sent_to_a_listener_that_is_not_proven(listeners: list[object]) -> None:
    with Scripted(lambda nth: GOOD) as server:
        reply = proven_by(server, *listeners).post({}, NEVER, attempts=1)
    assert (reply.status, server.seen) == (DISCONNECTED, [])


def test_a_listener_is_proven_once_for_each_connection() -> None:
    """The connection stays with the process that accepted it."""
    with Scripted(lambda nth: GOOD) as server:
        endpoint = proven_by(server, "ours", "ours")
        assert [endpoint.post({}, NEVER).status for _ in range(3)] == [200] * 3
    assert len(server.seen) == 3


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_key_of_a_server_on_this_machine_passes_no_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Scripted(lambda nth: GOOD) as proxy, Scripted(lambda nth: GOOD) as server:
        monkeypatch.setenv(variable, proxy.url)
        assert endpoint(server).post({}, NEVER).status == 200
    assert (len(server.seen), proxy.seen) == (1, [])
