"""Say before a trial what it takes of a quota, and what it may cost."""

import json
from collections.abc import Sequence

from hpc.display.run.usage import MILLION, format_money
from hpc.trial.candidates import Candidate
from pipeline.classifiers import frozen_classifier
from pipeline.model import JsonObject, Post
from pipeline.text import counted

_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")


def describe_use(candidate: Candidate, posts: Sequence[Post]) -> list[str]:
    """Return a line for the quota that the posts use, and one for what they cost at most.

    A line is left out where no quota or no price is configured.
    """
    lines = []
    if per_minute := candidate.cost_options.requests_per_minute:
        lines.append(
            f"{candidate.title}: shares the quota of {counted(per_minute, 'request')} per minute "
            "with running tasks, so the first request waits a few seconds"
        )
    cost = _highest_cost(candidate, posts)
    price = candidate.cost_options.price
    if price and cost is not None:
        lines.append(
            f"{candidate.title}: costs at most about {format_money(cost, price.currency)} if no "
            "request is repeated"
        )
    return lines


def _highest_cost(candidate: Candidate, posts: Sequence[Post]) -> float | None:
    """Return what the posts cost at most if each is one request; None if that is unknown.

    A request has at most as many tokens as bytes, and its answer as many as the request allows.
    """
    price = candidate.cost_options.price
    bodies = [_request_body(candidate, post) for post in posts] if price else []
    if price is None or not all(bodies):
        return None
    prompt = sum(len(json.dumps(body, ensure_ascii=False).encode()) for body in bodies)
    answers = sum(map(_most_tokens, bodies))
    return (prompt * price.prompt + answers * price.completion) / MILLION


def _request_body(candidate: Candidate, post: Post) -> JsonObject:
    request = frozen_classifier.render_request(candidate.classifier, [post])
    return request.body if request else {}


def _most_tokens(body: JsonObject) -> int:
    return next((int(body[name]) for name in _TOKEN_LIMITS if name in body), 0)
