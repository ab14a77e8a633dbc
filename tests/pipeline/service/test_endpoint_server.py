"""Requests to a server of the task's own: its address changes when it is started again."""

import threading
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint, Patience, Stopped
from pipeline.service.quota.pace import Pace
from tests.pipeline.classifiers.asking import Scripted
from tests.servers.http import Reply

GOOD = Reply(body={"ok": True})
CUT = Reply(cut=True)
TRIES = 3
NEVER = threading.Event()


def endpoint(addresses: Iterator[str]) -> Endpoint:
    return Endpoint(
        "/ask",
        headers={},
        secret=Secret(""),
        connections=2,
        pace=Pace(),
        patience=Patience(tries=TRIES, first_wait=0.001, longest_wait=0.001, timeout=5.0),
        probe=lambda _: {"probe": True},
        server=lambda stop: next(addresses),
    )


def always(reply: Reply) -> Callable[[int], Reply]:
    return lambda nth: reply


def test_a_request_goes_to_where_the_server_is() -> None:
    with Scripted(always(GOOD)) as server:
        reply = endpoint(repeat(f"{server.url}/v1")).post({}, NEVER)
    assert reply.status == 200
    assert [request.path for request in server.seen] == ["/v1/ask"]


def test_tries_of_a_server_that_died_are_not_counted() -> None:
    """It was cut off as often as is allowed but one, and then as often by the next."""
    with (
        Scripted(always(CUT)) as first,
        Scripted(lambda nth: CUT if nth < TRIES else GOOD) as other,
    ):
        addresses = chain(repeat(first.url, TRIES - 1), repeat(other.url))
        reply = endpoint(addresses).post({}, NEVER)
    assert reply.status == 200
    assert (len(first.seen), len(other.seen)) == (TRIES - 1, TRIES)


def test_a_server_that_died_at_the_last_try_is_waited_for() -> None:
    with Scripted(always(CUT)) as first, Scripted(always(GOOD)) as other:
        addresses = chain(repeat(first.url, TRIES), repeat(other.url))
        reply = endpoint(addresses).post({}, NEVER)
    assert (reply.status, len(first.seen), len(other.seen)) == (200, TRIES, 1)


def test_a_request_that_fails_alone_is_told_from_a_server_that_fails_by_the_probe() -> None:
    def answer(nth: int) -> Reply:
        return GOOD if b"probe" in server.seen[-1].body else Reply(status=500, body={})

    with Scripted(answer) as server:
        assert endpoint(repeat(server.url)).post({"q": "a post"}, NEVER).status == 500
    assert len(server.seen) == TRIES + 1


def test_a_server_that_lives_and_never_answers_is_at_fault() -> None:
    with Scripted(always(CUT)) as server, pytest.raises(TaskError) as raised:
        endpoint(repeat(server.url)).post({}, NEVER)
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)
    assert str(raised.value).startswith("the task's server: /ask: ")


@pytest.mark.parametrize("end", [TaskError(Cause.OUT_OF_MEMORY, "no memory"), Stopped()])
def test_a_server_that_will_not_come_back_ends_the_request(end: Exception) -> None:
    def addresses(url: str) -> Iterator[str]:
        yield url
        raise end

    with Scripted(always(CUT)) as server, pytest.raises(type(end)) as raised:
        endpoint(addresses(server.url)).post({}, NEVER)
    assert raised.value is end
    assert len(server.seen) == 1


def test_no_proxy_is_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute nodes often reach the internet by one, which knows nothing of their loopback."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Scripted(always(GOOD)) as server:
        assert endpoint(repeat(server.url)).post({}, NEVER).status == 200
