"""The verdict of every HTTP status, and of what stands in for one."""

import pytest

from pipeline.classifiers.verdicts import VERDICTS, Verdict, judge
from pipeline.service.http_reply import DISCONNECTED, INCOMPLETE, TIMED_OUT, Reply

EVERY_POSTS = {401, 402}
SETTLED = {408, 409, 425, 429, *range(500, 600)}


def reply(status: int, body: object = None) -> Reply:
    return Reply(status=status, body=body, summary="")


def test_every_http_status_has_a_verdict() -> None:
    assert list(VERDICTS) == list(range(100, 600))


@pytest.mark.parametrize("status", range(100, 600))
def test_only_the_key_condemns_every_post_and_only_the_endpoint_settles_without_a_probe(
    status: int,
) -> None:
    if status == 200:
        expected = Verdict.ANSWERED
    elif status in EVERY_POSTS:
        expected = Verdict.EVERY_POSTS
    elif status in SETTLED:
        expected = Verdict.SETTLED
    else:
        expected = Verdict.ASK_PROBE
    assert VERDICTS[status] is expected
    assert judge(reply(status)) is expected


@pytest.mark.parametrize("status", [INCOMPLETE, TIMED_OUT, DISCONNECTED, 600, 999])
def test_what_is_no_http_status_was_retried(status: int) -> None:
    assert judge(reply(status)) is Verdict.SETTLED


def test_a_quota_that_is_used_up_for_good_is_every_posts() -> None:
    body = {"error": {"code": "insufficient_quota"}}
    assert judge(reply(429, body)) is Verdict.EVERY_POSTS
    assert judge(reply(429, {"error": {"code": "rate_limit_exceeded"}})) is Verdict.SETTLED
