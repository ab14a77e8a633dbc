"""The verdict of every HTTP status, and of what stands in for one."""

from pipeline.classifiers.verdicts import VERDICTS, Verdict, judge
from pipeline.service.http_reply import DISCONNECTED, INCOMPLETE, TIMED_OUT, Reply

EVERY_POSTS = {401, 402}
SETTLED = {408, 409, 425, 429, *range(500, 600)}


def reply(status: int, body: object = None) -> Reply:
    return Reply(status=status, body=body, summary="")


def expected_verdict(status: int) -> Verdict:
    if status == 200:
        return Verdict.ANSWERED
    if status in EVERY_POSTS:
        return Verdict.EVERY_POSTS
    return Verdict.SETTLED if status in SETTLED else Verdict.ASK_PROBE


def test_only_the_key_condemns_every_post_and_only_the_endpoint_settles_without_a_probe() -> None:
    """Every HTTP status has a verdict."""
    expected = {status: expected_verdict(status) for status in range(100, 600)}
    assert dict(VERDICTS) == expected
    assert {status: judge(reply(status)) for status in range(100, 600)} == expected


def test_what_is_no_http_status_was_retried() -> None:
    statuses = (INCOMPLETE, TIMED_OUT, DISCONNECTED, 600, 999)
    assert {judge(reply(status)) for status in statuses} == {Verdict.SETTLED}


def test_a_quota_that_is_used_up_for_good_is_every_posts() -> None:
    body = {"error": {"code": "insufficient_quota"}}
    assert judge(reply(429, body)) is Verdict.EVERY_POSTS
    assert judge(reply(429, {"error": {"code": "rate_limit_exceeded"}})) is Verdict.SETTLED
