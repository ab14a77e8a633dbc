"""Decide from an HTTP status whose fault a reply is: one post's, every post's, or not yet known.

Gateways, guardrails and firewalls reject single texts with almost any status: 403 (OpenRouter's
moderation, most firewalls), 405 (Alibaba Cloud's), 406 and 501 (ModSecurity's), 404, 409 (LiteLLM's
guardrails), 451, 302 to a page. So only a few statuses prove that every request fails; all others
are settled with a harmless sentence. Everything here is pure.
"""

from enum import Enum

from pipeline.service.http_reply import TRANSIENT_CLIENT_ERRORS, Reply

LOWEST_STATUS, HIGHEST_STATUS = 100, 599
_OK = 200
# Unauthorized and Payment Required: about the key, whatever the text is.
_ABOUT_THE_KEY = frozenset({401, 402})
_TOO_MANY_REQUESTS = 429


class Verdict(Enum):
    """What the status of a final reply says."""

    ANSWERED = "the body says the rest"
    SETTLED = "the endpoint retried it while others were answered: it is this post's own"
    ASK_PROBE = "this post's own if the probe is answered now, and every post's if not"
    EVERY_POSTS = "no post is answered"


def _verdict_of_status(status: int) -> Verdict:
    if status == _OK:
        return Verdict.ANSWERED
    if status in _ABOUT_THE_KEY:
        return Verdict.EVERY_POSTS
    if status >= 500 or status in TRANSIENT_CLIENT_ERRORS or status == _TOO_MANY_REQUESTS:
        return Verdict.SETTLED
    return Verdict.ASK_PROBE


VERDICTS = {
    status: _verdict_of_status(status) for status in range(LOWEST_STATUS, HIGHEST_STATUS + 1)
}
"""The verdict of every HTTP status."""


def judge(reply: Reply) -> Verdict:
    """Return whose fault a reply is that `Endpoint.post` returned after all its attempts."""
    if reply.status == _TOO_MANY_REQUESTS and reply.is_final:
        # A quota that is used up for good; or the service only says not to send this again.
        return Verdict.ASK_PROBE if reply.retry is False else Verdict.EVERY_POSTS
    # A status beyond the table, or none at all: the endpoint has retried those as well.
    return VERDICTS.get(reply.status, Verdict.SETTLED)
