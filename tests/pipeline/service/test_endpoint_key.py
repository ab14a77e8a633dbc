"""Where the key is sent, where it never shows, and which URLs are accepted."""

from pathlib import Path

import pytest

from pipeline.errors import TaskError
from tests.pipeline.classifiers.classifier_setup import KEY, Scripted, chain, endpoint
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
