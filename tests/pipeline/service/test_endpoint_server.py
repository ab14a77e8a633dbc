"""Requests to the task's own server, whose address changes when it is restarted."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Endpoint, Stopped
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from tests.pipeline.classifiers.classifier_setup import Scripted
from tests.pipeline.service.scripted_replies import GOOD, NEVER
from tests.servers.http import Reply

CUT = Reply(cut=True)
ATTEMPTS = 3


def endpoint(addresses: Iterator[str]) -> Endpoint:
    return Endpoint(
        Service(
            url="/ask",
            headers={},
            secret=Secret(""),
            connections=2,
            server=lambda stop: next(addresses),
        ),
        limiter=RateLimiter(),
        policy=RequestPolicy(
            attempts=ATTEMPTS, first_wait_s=0.001, longest_wait_s=0.001, timeout_s=5.0
        ),
        rules=ReplyRules(probe=lambda _: {"probe": True}),
    )


def always(reply: Reply) -> Callable[[int], Reply]:
    return lambda nth: reply


def test_a_request_goes_to_the_servers_current_address() -> None:
    with Scripted(always(GOOD)) as server:
        reply = endpoint(repeat(f"{server.url}/v1")).post({}, NEVER)
    assert reply.status == 200
    assert [request.path for request in server.seen] == ["/v1/ask"]


def test_attempts_at_a_server_that_died_do_not_count() -> None:
    """The first server cuts the connection twice, and the next one twice more."""
    with (
        Scripted(always(CUT)) as first,
        Scripted(lambda nth: CUT if nth < ATTEMPTS else GOOD) as second,
    ):
        addresses = chain(repeat(first.url, ATTEMPTS - 1), repeat(second.url))
        reply = endpoint(addresses).post({}, NEVER)
    assert reply.status == 200
    assert (len(first.seen), len(second.seen)) == (ATTEMPTS - 1, ATTEMPTS)


def test_a_server_that_died_at_the_last_attempt_is_waited_for() -> None:
    with Scripted(always(CUT)) as first, Scripted(always(GOOD)) as second:
        addresses = chain(repeat(first.url, ATTEMPTS), repeat(second.url))
        reply = endpoint(addresses).post({}, NEVER)
    assert (reply.status, len(first.seen), len(second.seen)) == (200, ATTEMPTS, 1)


def test_the_post_is_at_fault_when_the_server_answers_the_probe() -> None:
    def answer(nth: int) -> Reply:
        return GOOD if b"probe" in server.seen[-1].body else Reply(status=500, body={})

    with Scripted(answer) as server:
        assert endpoint(repeat(server.url)).post({"q": "a post"}, NEVER).status == 500
    assert len(server.seen) == ATTEMPTS + 1


def test_a_server_that_is_alive_and_never_answers_is_at_fault() -> None:
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


def test_a_server_on_this_machine_is_never_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compute nodes often reach the internet through one, which cannot see their loopback."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Scripted(always(GOOD)) as server:
        assert endpoint(repeat(server.url)).post({}, NEVER).status == 200
