"""A request that the service throttles for ever, while it answers others, is not waited for."""

import json
import threading
from collections.abc import Callable

import pytest

from pipeline.service.endpoint import Endpoint
from pipeline.service.throttling import Tally
from tests.pipeline.classifiers.classifier_setup import QUICK, Scripted, endpoint
from tests.pipeline.service.scripted_replies import FAILURES, GOOD, NEVER, QUOTA
from tests.servers.http import Reply

BIG = {"q": "big"}
PROBE = {"q": "probe"}
REFUSALS = QUICK.attempts


def serve(answer: Callable[[str, int], Reply]) -> Scripted:
    """Return a server that answers the nth request about a text, from 1, with `answer`."""

    def script(nth: int) -> Reply:
        with server.lock:
            text = asked(server)[nth - 1]
            return answer(text, asked(server)[:nth].count(text))

    server = Scripted(script)
    server.lock = threading.RLock()
    return server


def asked(server: Scripted) -> list[str]:
    return [json.loads(request.body)["q"] for request in server.seen]


def test_its_429_is_returned_when_the_probe_is_answered_each_time() -> None:
    with serve(lambda text, nth: QUOTA if text == "big" else GOOD) as server:
        reply = endpoint(server, probe=PROBE).post(BIG, NEVER)
    assert (reply.status, reply.is_final) == (429, False)
    assert asked(server) == ["big", "big", *["big", "probe"] * REFUSALS]


def test_the_probe_is_not_needed_while_other_posts_are_answered() -> None:
    shared: list[Endpoint] = []

    def script(nth: int) -> Reply:
        if asked(server)[nth - 1] != "big":
            return GOOD
        assert shared[0].post({"q": "other"}, NEVER).status == 200
        return QUOTA

    with Scripted(script) as server:
        shared.append(endpoint(server, probe=PROBE))
        assert shared[0].post(BIG, NEVER).status == 429
    assert asked(server) == ["big", "other"] * (REFUSALS + 2)


def test_it_is_waited_for_while_the_service_throttles_the_probe_too() -> None:
    """The probe is throttled every other time, so it is never answered often enough in a row."""

    def answer(text: str, nth: int) -> Reply:
        if text == "big":
            return GOOD if nth == 40 else QUOTA
        return QUOTA if nth % REFUSALS == 0 else GOOD

    with serve(answer) as server:
        assert endpoint(server, probe=PROBE).post(BIG, NEVER).status == 200
    assert asked(server).count("big") == 40


def test_the_probe_is_not_sent_again_before_the_time_that_its_429_names() -> None:
    late = Reply(status=429, body={}, headers={"Retry-After": "300"})

    def answer(text: str, nth: int) -> Reply:
        if text == "big":
            return GOOD if nth == 20 else QUOTA
        return late

    with serve(answer) as server:
        assert endpoint(server, probe=PROBE).post(BIG, NEVER).status == 200
    assert asked(server).count("probe") == 1


@pytest.mark.parametrize("name", ["503", "cut at once"])
def test_a_probe_that_fails_says_nothing_about_the_throttled_request(name: str) -> None:
    def answer(text: str, nth: int) -> Reply:
        if text == "big":
            return GOOD if nth == 20 else QUOTA
        return FAILURES[name]

    with serve(answer) as server:
        assert endpoint(server, probe=PROBE).post(BIG, NEVER).status == 200


def test_without_a_probe_it_is_waited_for() -> None:
    with serve(lambda text, nth: GOOD if nth == 20 else QUOTA) as server:
        assert endpoint(server).post(BIG, NEVER).status == 200


def test_several_such_requests_at_once_are_told_apart_from_a_quota() -> None:
    """Nothing but these and the probe is on the wire."""
    with serve(lambda text, nth: GOOD if text == "probe" else QUOTA) as server:
        shared = endpoint(server, probe=PROBE)
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda number: statuses.append(
                    shared.post({"q": f"big {number}"}, NEVER).status
                ),
                args=[number],
            )
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert statuses == [429] * 6


@pytest.mark.parametrize(
    ("after", "passes"),
    [
        (Tally(answered=5, throttled=4), True),
        (Tally(answered=5, throttled=5), False),
        (Tally(answered=3, throttled=4), False),
    ],
)
def test_others_pass_if_some_were_answered_and_none_was_throttled(
    after: Tally, passes: bool
) -> None:
    assert after.shows_others_pass(Tally(answered=3, throttled=3), own=1) is passes
