"""Classifiers and endpoints as the tests use them: real sockets, and waits of milliseconds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.classifiers.base import Classifier
from pipeline.config.secret import Secret
from pipeline.config.section import Section
from pipeline.model import Answer, Post
from pipeline.service.endpoint import Endpoint, ReplyRules, RequestPolicy, Service
from pipeline.service.quota.pace import Pace
from tests.servers.http import LoopbackServer, Reply, Request

KEY = "k3y-AIzaSyD-0123456789"
QUICK = RequestPolicy(
    first_wait_s=0.001, longest_wait_s=0.002, timeout_s=5.0, until_quota_resets=lambda: 0.001
)


class Scripted(LoopbackServer):
    """Answers the nth request, from 1, with `script(nth)`; keeps the requests."""

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
    pace: Pace | None = None,
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
        pace=pace or Pace(),
        policy=policy,
        rules=ReplyRules(probe=(lambda _: probe) if probe else None),
    )


def section(values: dict[str, Any], folder: Path = Path()) -> Section:
    return Section(values, path="classifier", source="run.yaml", folders=(folder,))


def posts(*texts: str) -> list[Post]:
    return [Post(f"at://{number}", text) for number, text in enumerate(texts)]


def answers(classifier: Classifier, asked: Sequence[Post]) -> dict[str, Answer]:
    """By text; every post has exactly one answer."""
    found = list(classifier.classify(asked))
    texts = {post.uri: post.text for post in asked}
    assert sorted(answer.uri for answer in found) == sorted(texts)
    return {texts[answer.uri]: answer for answer in found}


def chain(error: BaseException) -> str:
    """All that a traceback would show of an error and of those behind it."""
    shown: list[str] = []
    follow: BaseException | None = error
    while follow is not None:
        shown += [str(follow), repr(follow), *map(repr, follow.args)]
        follow = follow.__cause__ or follow.__context__
    return "\n".join(shown)


def verdicts(classifier: Classifier, asked: Sequence[Post]) -> dict[str, Answer]:
    """`answers`, but labels and reasons alone, without what came beside them."""
    found = answers(classifier, asked)
    return {text: Answer(one.uri, one.values, one.reason) for text, one in found.items()}
