"""Label posts with the Perspective API, or with a replacement that keeps its JSON.

The service ends on December 31, 2026.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec.structs import replace

from pipeline import limits
from pipeline.classifiers.base import Classifier, RenderedRequest, TaskShare
from pipeline.classifiers.options import check_transport
from pipeline.classifiers.perspective import reply as perspective_reply
from pipeline.classifiers.perspective.columns import ATTRIBUTES, DROPPED, columns, spans_column
from pipeline.classifiers.perspective.languages import SupportedAttributes
from pipeline.classifiers.perspective.options import API_KEY_ENV, PerspectiveOptions
from pipeline.classifiers.perspective.reply import (
    ENDS,
    NOT_SUPPORTED,
    InvalidReply,
    RejectedRequest,
)
from pipeline.classifiers.perspective.request import build_request
from pipeline.classifiers.shared_probe import SharedProbe
from pipeline.classifiers.unlabeled_streak import MOST_UNLABELED, UnlabeledStreak
from pipeline.classifiers.verdicts import Verdict, judge
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import check_key, find_key, read_key, report_key_in
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject, LabelValue, Post
from pipeline.service.activity import ServiceActivity
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Endpoint, Stopped
from pipeline.service.http_reply import Reply
from pipeline.service.quota.rate_limiter import until_next_minute
from pipeline.service.quota.shared_rate_limiter import find_quota_folder, open_rate_limiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service

MAX_TEXT_BYTES = 20_480

# Sent to see whether the service answers at all.
_PROBE = Post("probe", "The sun is out today.")


class Perspective(Classifier[PerspectiveOptions]):
    """Gives one probability per configured attribute, in the lab's columns.

    An attribute without a score is null, and listed in the column DROPPED: the service has no model
    for the post's language, or its reply leaves the attribute out.
    """

    options_type = PerspectiveOptions
    needs_numpy = False
    policy = RequestPolicy(until_quota_resets=until_next_minute)
    """How requests are repeated; the timeout is an option."""

    @classmethod
    def freeze(cls, options: PerspectiveOptions, inputs: InputFiles) -> PerspectiveOptions:
        """Find the API key and the quota folder."""
        env, file = find_key(
            env=options.api_key_env,
            file=options.api_key_file,
            default_env=API_KEY_ENV,
            inputs=inputs,
        )
        check_transport(options.base_url, allow_insecure=options.allow_insecure, inputs=inputs)
        report_key_in({"key_header": options.key_header, "path": options.path}, env, file, inputs)
        quota_folder = find_quota_folder(options.quota_folder, inputs)
        return replace(options, quota_folder=quota_folder, api_key_env=env, api_key_file=file)

    @classmethod
    def check(cls, options: PerspectiveOptions, inputs: InputFiles) -> None:
        """Look for the API key and the quota folder again."""
        check_key(options.api_key_env, options.api_key_file, inputs)
        find_quota_folder(options.quota_folder, inputs)

    @classmethod
    def refreeze(
        cls, options: PerspectiveOptions, before: PerspectiveOptions, inputs: InputFiles
    ) -> PerspectiveOptions:
        """Find the API key and the quota folder again."""
        return cls.freeze(options, inputs)

    @classmethod
    def render_request(cls, options: PerspectiveOptions, posts: Sequence[Post]) -> RenderedRequest:
        """Return the request about the first of these posts."""
        return RenderedRequest(url=options.url, body=build_request(options, posts[0]))

    @classmethod
    def declared(cls, options: PerspectiveOptions) -> tuple[Column, ...]:
        """Return the columns of the configured attributes."""
        return columns(options.attributes, spans=options.span_scores)

    @classmethod
    def service_end(cls, options: PerspectiveOptions) -> datetime | None:
        """Return the end of Google's service; None for a drop-in."""
        return options.ends_at

    def __init__(self, options: PerspectiveOptions, share: TaskShare) -> None:
        """Read the API key; send nothing yet."""
        self._options = options
        self._attributes = list(options.attributes)
        self._languages = list(options.languages)
        self._spans = options.span_scores
        self._limit = options.max_in_flight
        self._end = ENDS if options.ends_at else ""
        self._stopping = share.stopping
        self.columns = self.declared(options)
        self._support = SupportedAttributes(self._attributes, self._languages)
        self._streak = UnlabeledStreak(self._prove_scores)
        self._shared_probe = SharedProbe()
        self.model = options.model
        self.secret = read_key(options.api_key_env, options.api_key_file)
        # The quota belongs to the Google project, and so to the key, wherever it is used.
        self._limiter = open_rate_limiter(
            options.requests_per_minute,
            options.quota_folder,
            owner=f"key {self.secret.reveal()}",
        )
        self._endpoint = Endpoint(
            Service(
                url=options.url,
                path=options.path,
                headers=options.headers(self.secret.reveal()),
                secret=self.secret,
                connections=self._limit,
                most_bytes=limits.ANSWER_BYTES
                + limits.SPANS_BYTES * len(self._attributes) * self._spans,
            ),
            limiter=self._limiter,
            policy=dataclasses.replace(self.policy, timeout_s=options.timeout_seconds),
            rules=ReplyRules(
                probe=lambda request: self._request(_PROBE, list(request["requestedAttributes"])),
                answers=self._is_answer,
                # When the service has ended, its name may not resolve; but that may pass as well.
                outage_advice=f"; is the service still there? {self._end}" if self._end else "",
            ),
        )

    @property
    def trouble(self) -> str:
        """What is wrong with the service at the moment; '' if nothing is."""
        return self._limiter.trouble or self._endpoint.trouble

    @property
    def activity(self) -> ServiceActivity:
        """What was sent lately, and which faults came back."""
        return self._endpoint.activity()

    def close(self) -> None:
        """Give the share of the quota back."""
        self._limiter.close()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, as described by the base class."""
        yield from map_concurrently(
            posts,
            self._label,
            limit=self._limit,
            stopping=self._stopping,
            waiting=self._endpoint.waiting,
        )
        with contextlib.suppress(Stopped):
            self._streak.check(self._stopping)

    def _label(self, post: Post, stop: threading.Event) -> Answer:
        """Request all attributes at once, which costs one request of the quota.

        Each attribute that is rejected for its language costs one more, because that rejects the
        whole request.
        """
        self._streak.check(stop)
        if len(post.text.encode()) > MAX_TEXT_BYTES:
            return Answer(post.uri, reason="comment_too_long")
        attributes, reply = self._support.to_request(), None
        while attributes:
            reply = self._endpoint.post(self._request(post, attributes), stop)
            rejection = perspective_reply.parse_rejection(reply.body)
            is_language = reply.status == 400 and rejection.error_type == NOT_SUPPORTED
            if not is_language or rejection.attribute not in attributes:
                return self._answer(post, attributes, reply, stop)
            attributes = self._support.after(rejection, attributes)
        if not self._support.to_request():
            raise TaskError(
                Cause.REFUSED,
                f"{self._endpoint.url} has none of classifier.attributes in "
                f"{', '.join(self._languages)}: change them, or classifier.languages",
            )
        return self._row(post, attributes, reply, reason=NOT_SUPPORTED.lower())

    def _answer(
        self, post: Post, attributes: list[str], reply: Reply, stop: threading.Event
    ) -> Answer:
        """Return the post's answer, or raise TaskError if the service is at fault."""
        verdict = judge(reply)
        if verdict is Verdict.ANSWERED:
            return self._read_scores(post, attributes, reply, stop)
        rejection = perspective_reply.parse_rejection(reply.body)
        if verdict is Verdict.EVERY_POSTS or rejection.about_key:
            raise self._refusal(reply, rejection)
        reason = rejection.reason or reply.reason
        is_posts_own = (
            verdict is Verdict.SETTLED
            or rejection.is_about_the_text
            or self._works_without(post, attributes, stop)
        )
        if not is_posts_own:
            raise self._refusal(reply, rejection)
        return self._row(post, attributes, reply, reason=reason)

    def _read_scores(
        self, post: Post, attributes: list[str], reply: Reply, stop: threading.Event
    ) -> Answer:
        """Return the post's answer after an HTTP 200."""
        try:
            values = self._values(self._request(post, attributes), reply)
        except InvalidReply as error:
            reason = f"invalid_answer: {error}"
        else:
            scored = [name for name in attributes if values[ATTRIBUTES[name]] is not None]
            return self._row(post, scored, reply, values=values)
        if not self._works_without(post, attributes, stop):
            raise TaskError(Cause.CRASHED, f"{self._endpoint.url}: {reply.summary}: {reason}")
        return self._row(post, attributes, reply, reason=reason)

    def _works_without(self, post: Post, attributes: list[str], stop: threading.Event) -> bool:
        """Report whether the service scores the fixed sentence, after it has rejected a post."""
        return self._shared_probe.is_answered(
            lambda: self._endpoint.answers_probe(self._request(post, attributes), stop),
            stop,
            kind=tuple(attributes),
        )

    def _prove_scores(self, stop: threading.Event) -> None:
        """Ask for the scores of the fixed sentence; raise TaskError if it gets none."""
        request = self._request(_PROBE, self._support.to_request())
        reply = self._endpoint.post(request, stop)
        if reply.status == 200 and self._is_answer(request, reply):
            return
        rejection = perspective_reply.parse_rejection(reply.body)
        if rejection.error_type == NOT_SUPPORTED:
            return  # no configured attribute has the sentence's language, but posts have others
        advice = perspective_reply.advice(reply.status, rejection, end=self._end)
        raise TaskError(
            self._endpoint.outage_cause if reply.failed else Cause.REFUSED,
            f"{self._endpoint.url}: {MOST_UNLABELED} posts in a row got no scores, and neither "
            f'did "{_PROBE.text}": {reply.summary}: {advice}',
        )

    def _refusal(self, reply: Reply, rejection: RejectedRequest) -> TaskError:
        advice = perspective_reply.advice(reply.status, rejection, end=self._end)
        return TaskError(Cause.REFUSED, f"{self._endpoint.url}: {reply.summary}: {advice}")

    def _is_answer(self, request: JsonObject, reply: Reply) -> bool:
        try:
            return bool(self._values(request, reply))
        except InvalidReply:
            return False

    def _request(self, post: Post, attributes: list[str]) -> JsonObject:
        return build_request(self._options, post, attributes)

    def _values(self, request: JsonObject, reply: Reply) -> dict[str, LabelValue]:
        """Return the column values of a reply, null for attributes that it leaves out.

        Raises:
            InvalidReply: the reply has no valid scores.
            TaskError: it answers another request, so that no reply can be joined to its post.
        """
        if reply.problem:
            raise InvalidReply(reply.problem)
        token = perspective_reply.client_token(reply.body)
        if token != request["clientToken"]:
            raise TaskError(
                Cause.CRASHED,
                f"{self._endpoint.url} answered for {token!r} when asked for "
                f"{request['clientToken']!r}: its answers cannot be joined to posts",
            )
        values: dict[str, LabelValue] = {
            column.name: None for column in self.columns if column.name != DROPPED
        }
        requested = list(request["requestedAttributes"])
        scored = [name for name in requested if perspective_reply.has_score(reply.body, name)]
        # A reply without any score has to say which one is missing.
        for name in scored or requested:
            values[ATTRIBUTES[name]] = perspective_reply.probability(reply.body, name)
            if self._spans:
                text = request["comment"]["text"]
                values[spans_column(name)] = perspective_reply.spans(reply.body, name, text)
        return values

    def _row(
        self,
        post: Post,
        attributes: list[str],
        reply: Reply | None,
        *,
        values: dict[str, LabelValue] | None = None,
        reason: str | None = None,
    ) -> Answer:
        dropped = ",".join(name for name in self._attributes if name not in attributes) or None
        raw = reply.text if reply else None
        answer = Answer(post.uri, values, reason, facts={DROPPED: dropped}, raw=raw)
        return self._streak.count(answer)
