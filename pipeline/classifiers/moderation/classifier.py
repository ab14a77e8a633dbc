"""Label posts with the moderation endpoint of OpenAI, Mistral, or a server that keeps its JSON.

A request holds one post, or several whose results prove their own order (`arrangement`). Posts
whose results prove nothing are sent one by one.
"""

import functools
import itertools
import json
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pipeline.classifiers.base import Classifier, RenderedRequest, TaskShare
from pipeline.classifiers.moderation.arrangement import FEWEST_POSTS, arrange
from pipeline.classifiers.moderation.categories import FLAGGED, MODEL, REQUESTS, column_of
from pipeline.classifiers.moderation.endpoint import (
    FIXED_SENTENCE,
    ModerationEndpoint,
    build_request,
    results_of,
)
from pipeline.classifiers.moderation.grouping import Grouping
from pipeline.classifiers.moderation.options import ModerationOptions
from pipeline.classifiers.moderation.reply import InvalidReply, Result, served_model
from pipeline.classifiers.options import check_transport
from pipeline.classifiers.unlabeled_streak import UnlabeledStreak
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import check_key, find_key, read_key
from pipeline.errors import TaskError
from pipeline.model import TOO_SHORT, Answer, Column, ColumnKind, LabelValue, Post
from pipeline.service.activity import ServiceActivity
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Stopped
from pipeline.service.http_reply import Reply
from pipeline.service.quota.shared_rate_limiter import find_quota_folder
from pipeline.service.service import RequestPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """The posts of one request."""

    posts: tuple[Post, ...]

    requests: int = 0
    """How many requests its only post has been charged for before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Billed:
    """The reply that decided about a post, and what the post is charged for."""

    reply: Reply

    requests: int
    """How many requests were sent for the post; of a request about several, the first has it."""

    kept_with: str = ""
    """The uri of the post with which the response is kept; '' for this one."""


class Moderation(Classifier[ModerationOptions]):
    """Gives one score per configured category, and whether the service flags the post."""

    options_type = ModerationOptions
    needs_numpy = False
    policy = RequestPolicy()
    """How requests are repeated; the timeout is an option."""

    @classmethod
    def freeze(cls, options: ModerationOptions, inputs: InputFiles) -> ModerationOptions:
        """Write the categories out, and find the API key and the quota folder."""
        env, file = find_key(
            env=options.api_key_env, file=options.api_key_file, default_env=None, inputs=inputs
        )
        if env or file:
            check_transport(options.base_url, allow_insecure=options.allow_insecure, inputs=inputs)
        quota_folder = options.quota_folder
        if options.requests_per_minute is not None:
            quota_folder = find_quota_folder(quota_folder, inputs)
        return replace(
            options,
            # What a provider has may differ in a later version; a run keeps what it began with.
            categories=options.category_names,
            quota_folder=quota_folder,
            api_key_env=env,
            api_key_file=file,
        )

    @classmethod
    def refreeze(
        cls, options: ModerationOptions, before: ModerationOptions, inputs: InputFiles
    ) -> ModerationOptions:
        """Find the API key and the quota folder again."""
        return cls.freeze(options, inputs)

    @classmethod
    def check(cls, options: ModerationOptions, inputs: InputFiles) -> None:
        """Look for the API key and the quota folder again."""
        check_key(options.api_key_env, options.api_key_file, inputs)
        if options.requests_per_minute is not None:
            find_quota_folder(options.quota_folder, inputs)

    @classmethod
    def declared(cls, options: ModerationOptions) -> tuple[Column, ...]:
        """Return the columns of the configured categories, and those beside them."""
        return (
            *(Column(column_of(name), ColumnKind.NUMBER) for name in options.category_names),
            Column(FLAGGED, ColumnKind.FLAG),
            Column(MODEL, ColumnKind.TEXT),
            Column(REQUESTS, ColumnKind.COUNT),
        )

    @classmethod
    def render_request(cls, options: ModerationOptions, posts: Sequence[Post]) -> RenderedRequest:
        """Return the request about these posts; of several, in an order of their own."""
        texts = [post.text for post in posts]
        if len(texts) < FEWEST_POSTS:
            return RenderedRequest(url=options.url, body=build_request(options, texts[:1]))
        arrangement = arrange(len(texts), lambda order: None)
        return RenderedRequest(
            url=options.url,
            body=build_request(options, arrangement.texts(texts, FIXED_SENTENCE)),
            note="a task shuffles the texts of each request; each is there twice, which proves "
            "the order of the results",
        )

    def __init__(self, options: ModerationOptions, share: TaskShare) -> None:
        """Read the API key; send nothing yet."""
        self._options = options
        self._stopping = share.stopping
        self.columns = self.declared(options)
        self.model = options.model
        self.secret = read_key(options.api_key_env, options.api_key_file)
        self._endpoint = ModerationEndpoint(options, self.secret, self.policy)
        self._streak = UnlabeledStreak(self._endpoint.prove_scores)
        self._grouping = Grouping(options.posts_per_request)
        self._shuffle = random.SystemRandom().shuffle

    @property
    def trouble(self) -> str:
        """What is wrong with the service at the moment; '' if nothing is."""
        return self._endpoint.trouble

    @property
    def activity(self) -> ServiceActivity:
        """What was sent lately, and which faults came back."""
        return self._endpoint.activity

    def close(self) -> None:
        """Give the share of the quota back."""
        self._endpoint.close()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, as described by the base class."""
        try:
            yield from self._classify(posts)
        except Stopped:  # the task was asked to stop before the first post was sent
            return

    def _classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if posts:
            self._endpoint.known_result(self._stopping)
        requeued: deque[_Group] = deque()
        for answers in map_concurrently(
            self._groups(posts),
            functools.partial(self._send, requeued),
            limit=self._options.max_in_flight,
            stopping=self._stopping,
            requeued=requeued,
            waiting=self._endpoint.waiting,
        ):
            yield from answers
        self._streak.check(self._stopping)

    def _groups(self, posts: Sequence[Post]) -> Iterator[_Group]:
        """Yield posts in groups, taking each post only when its group is needed."""
        remaining = iter(posts)
        while group := tuple(itertools.islice(remaining, self._grouping.size)):
            yield _Group(posts=group)

    def _send(self, requeued: deque[_Group], group: _Group, stop: threading.Event) -> list[Answer]:
        """Return the answers for those posts of a group that have one, and requeue the others.

        Requeued posts are sent one by one. An empty text is not sent.
        """
        self._streak.check(stop)
        unsent = [
            Answer(post.uri, reason=TOO_SHORT, facts={REQUESTS: 0})
            for post in group.posts
            if not post.text.strip()
        ]
        posts = [post for post in group.posts if post.text.strip()]
        if len(group.posts) == 1:
            return unsent + [self._send_single(post, group.requests, stop) for post in posts]
        if not self._grouping.fits([post.text for post in posts]):
            requeued.extend(_Group(posts=(post,)) for post in posts)
            return unsent
        answers: list[Answer] = []
        reply, results = self._send_together(posts, stop)
        for number, post in enumerate(posts):
            # The first post is charged for the request, so that sums are right.
            requests = 1 if number == 0 else 0
            values = self._values(results[number]) if results else None
            if values is None:
                requeued.append(_Group(posts=(post,), requests=requests))
            else:
                kept_with = answers[0].uri if answers else ""
                billed = _Billed(reply=reply, requests=requests, kept_with=kept_with)
                answers.append(self._labeled_answer(post, billed, values))
        return unsent + answers

    def _send_together(
        self, posts: Sequence[Post], stop: threading.Event
    ) -> tuple[Reply, tuple[Result, ...] | None]:
        """Send several posts; return the reply, and a result per post if it proves their order."""
        arrangement = arrange(len(posts), self._shuffle)
        texts = arrangement.texts([post.text for post in posts], FIXED_SENTENCE)
        reply = self._endpoint.post(texts, stop)
        self._endpoint.check_access(reply)
        if reply.status != 200:
            self._grouping.record_rejected(len(posts), reply.summary)
            return reply, None
        try:
            results = results_of(reply, len(texts))
        except InvalidReply as problem:
            self._grouping.record_unproven(str(problem))
            return reply, None
        joined = arrangement.join(results, self._endpoint.known_result(stop))
        if joined is None:
            self._grouping.record_unproven("the results are not in the order of the texts")
            return reply, None
        self._grouping.record_proven()
        return reply, joined

    def _send_single(self, post: Post, requests: int, stop: threading.Event) -> Answer:
        reply = self._endpoint.post([post.text], stop)
        billed = _Billed(reply=reply, requests=requests + 1)
        if reply.status != 200:
            return self._unlabeled_answer(post, billed, self._endpoint.failure_reason(reply, stop))
        try:
            (result,) = results_of(reply, 1)
            return self._labeled_answer(post, billed, result.values(self._options.category_names))
        except InvalidReply as problem:
            fault = functools.partial(self._endpoint.no_post_labeled, problem, reply)
            return self._unlabeled_answer(post, billed, f"invalid_answer: {problem}", fault)

    def _values(self, result: Result) -> dict[str, LabelValue] | None:
        try:
            return result.values(self._options.category_names)
        except InvalidReply:
            return None

    def _labeled_answer(
        self, post: Post, billed: "_Billed", values: Mapping[str, LabelValue]
    ) -> Answer:
        """Return the answer about a post with scores."""
        labels = {**values, MODEL: served_model(billed.reply.body)}
        return self._streak.count(
            Answer(post.uri, labels, None, {REQUESTS: billed.requests}, self._raw(billed))
        )

    def _unlabeled_answer(
        self,
        post: Post,
        billed: "_Billed",
        reason: str,
        fault: Callable[[], TaskError] | None = None,
    ) -> Answer:
        """Return the answer about a post without scores.

        Args:
            post: the post.
            billed: the last reply.
            reason: why it has no scores.
            fault: returns the end of the task if no post gets any; None if that is this text's.
        """
        facts = {REQUESTS: billed.requests}
        return self._streak.count(Answer(post.uri, None, reason, facts, self._raw(billed)), fault)

    def _raw(self, billed: "_Billed") -> str | None:
        if not self._options.keep_raw:
            return None
        return (
            json.dumps({"response_of": billed.kept_with}) if billed.kept_with else billed.reply.text
        )
