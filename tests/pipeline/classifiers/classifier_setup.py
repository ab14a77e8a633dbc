"""Set up classifiers and endpoints for tests: real sockets, and waits of milliseconds."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.configured_classifier import check_classifier
from pipeline.classifiers.frozen_classifier import FrozenClassifier
from pipeline.classifiers.llm.labels import Label
from pipeline.config.check import Problems
from pipeline.config.secret import Secret
from pipeline.model import Answer, JsonObject, Post
from pipeline.service.endpoint import Endpoint
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from tests.servers.http import LoopbackServer, Reply, Request

KEY = "k3y-AIzaSyD-0123456789"
QUICK = RequestPolicy(
    first_wait_s=0.001,
    longest_wait_s=0.002,
    longest_throttle_s=0.002,
    timeout_s=5.0,
    until_quota_resets=lambda: 0.001,
)


class Scripted(LoopbackServer):
    """Answers the nth request, from 1, with `script(nth)`, and records the requests."""

    def __init__(self, script: Callable[[int], Reply]) -> None:
        super().__init__()
        self._script = script
        self.seen: list[Request] = []

    def respond(self, request: Request) -> Reply:
        with self.lock:
            self.seen.append(request)
            nth = len(self.seen)
        return self._script(nth)


def endpoint(
    server: LoopbackServer,
    *,
    policy: RequestPolicy = QUICK,
    limiter: RateLimiter | None = None,
    probe: Any = None,
) -> Endpoint:
    """Return an endpoint that talks to `server` and may ask it `probe`."""
    return Endpoint(
        Service(
            url=server.url + "/ask",
            headers={"X-Goog-Api-Key": KEY},
            secret=Secret(KEY),
            connections=4,
        ),
        limiter=limiter or RateLimiter(),
        policy=policy,
        rules=ReplyRules(probe=(lambda _: probe) if probe else None),
    )


def configured(values: Mapping[str, Any], folder: Path = Path()) -> FrozenClassifier:
    """Check and freeze a section `classifier`. Raises InputError with all that is wrong."""
    problems = Problems()
    checked = check_classifier(values, source="run.yaml", folders=(folder,), problems=problems)
    problems.raise_any()
    assert checked
    frozen = checked.freeze(problems)
    problems.raise_any()
    return frozen


def frozen_options(values: Mapping[str, Any], folder: Path = Path()) -> JsonObject:
    """Return what the manifest keeps of a section `classifier`, through JSON."""
    values = configured(values, folder).to_json()
    return cast(JsonObject, json.loads(json.dumps(values)))


def labels_of(declared: Sequence[Mapping[str, Any]]) -> tuple[Label, ...]:
    """Return declared labels as a run's manifest has them."""
    return msgspec.convert(declared, tuple[Label, ...])


def options_of(kind: str, values: Mapping[str, Any], folder: Path = Path()) -> Any:
    """Return the frozen options of a classifier of this type with these keys."""
    return configured({"type": kind, **values}, folder).options


def posts(*texts: str) -> list[Post]:
    """Return posts with these texts."""
    return [Post(f"at://{number}", text) for number, text in enumerate(texts)]


def answers(classifier: Classifier, asked: Sequence[Post]) -> dict[str, Answer]:
    """Classify, check that every post has exactly one answer, and return them by text."""
    answered = list(classifier.classify(asked))
    texts = {post.uri: post.text for post in asked}
    assert sorted(answer.uri for answer in answered) == sorted(texts)
    return {texts[answer.uri]: answer for answer in answered}


def chain(error: BaseException) -> str:
    """Return everything that a traceback would show of an error and its causes."""
    shown: list[str] = []
    follow: BaseException | None = error
    while follow is not None:
        shown += [str(follow), repr(follow), *map(repr, follow.args)]
        follow = follow.__cause__ or follow.__context__
    return "\n".join(shown)


def verdicts(classifier: Classifier, asked: Sequence[Post]) -> dict[str, Answer]:
    """Return `answers` with labels and reasons only, without facts and responses."""
    return {
        text: Answer(answer.uri, answer.values, answer.reason)
        for text, answer in answers(classifier, asked).items()
    }
