"""Where the key goes and where it never shows; where requests go."""

import threading
from pathlib import Path

import pytest

from pipeline.errors import InputError, TaskError
from pipeline.service.endpoint import base_url
from tests.pipeline.classifiers.asking import KEY, Scripted, chain, endpoint, section
from tests.servers.http import LoopbackServer, Reply

GOOD = Reply(body={"ok": True})


def fault(server: LoopbackServer) -> TaskError:
    with pytest.raises(TaskError) as raised:
        endpoint(server).post({}, threading.Event())
    return raised.value


def test_a_redirect_is_not_followed_with_the_key() -> None:
    with Scripted(lambda nth: GOOD) as other:
        headers = {"Location": other.url + "/steal"}
        with Scripted(lambda nth: Reply(status=307, body="moved", headers=headers)) as server:
            assert endpoint(server).post({}, threading.Event()).status == 307
    assert other.seen == []


@pytest.mark.parametrize("before", [0, 270, 280, 290, 299, 300])
@pytest.mark.parametrize("status", [400, 503])
def test_the_key_is_in_nothing_that_is_shown(before: int, status: int) -> None:
    """A page that quotes our headers, cut off in the middle of the key or not."""
    page = "x" * before + KEY + " is what you sent"
    with Scripted(lambda nth: Reply(status=status, body=page)) as server:
        shown = (
            endpoint(server).post({}, threading.Event()).shown
            if status == 400
            else chain(fault(server))
        )
        sent = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert sent["x-goog-api-key"] == KEY
    assert KEY not in server.seen[0].path
    assert server.seen[0].query == {}
    assert KEY[:4] not in shown
    assert "x" * before in shown


def test_a_netrc_does_not_replace_our_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Scripted(lambda nth: GOOD) as server:
        endpoint(server).post({}, threading.Event())
    assert server.seen[0].headers.get("Authorization") is None


@pytest.mark.parametrize("url", ["https://h", "http://127.0.0.1:8000/v1", "https://h/v1/"])
def test_a_base_url_loses_its_last_slash_only(url: str) -> None:
    assert base_url(section({"base_url": url})) == url.rstrip("/")
    assert base_url(section({}), "https://default") == "https://default"


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "h", "ftp://h", "https://", "https:// h", "/"]
)
def test_what_is_no_url_is_refused_before_anything_is_spent(url: str) -> None:
    with pytest.raises(InputError) as refused:
        base_url(section({"base_url": url}))
    assert str(refused.value) == (
        "run.yaml: classifier.base_url: should begin with http:// or https://, "
        f"not {url.rstrip('/')!r}"
    )


def test_a_key_that_the_service_echoes_is_not_in_what_is_read_from_its_answer() -> None:
    echo = Reply(body={"said": f"you sent {KEY}"})
    with Scripted(lambda nth: echo) as server:
        reply = endpoint(server).post({}, threading.Event())
    assert reply.body == {"said": "you sent [key]"}
