"""Label posts with a language model behind any OpenAI-compatible chat endpoint.

A request holds one post or a few. Every answer is validated here, because nothing that a model says
is trusted.
"""

import functools
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pipeline import usage
from pipeline.classifiers.base import RenderedRequest, TaskShare
from pipeline.classifiers.llm import multi_post
from pipeline.classifiers.llm.check_texts import check_texts
from pipeline.classifiers.llm.endpoint.classifier import EndpointClassifier
from pipeline.classifiers.llm.endpoint.one_post import Outcome, ask
from pipeline.classifiers.llm.endpoint.options import find_places
from pipeline.classifiers.llm.endpoint.question import BilledReply, tokens_of
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.requests import PromptBuilder, preview_note
from pipeline.config.input_files import InputFiles
from pipeline.model import Answer, Column, Post
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Stopped


@dataclass(frozen=True, kw_only=True, slots=True)
class PostGroup:
    """The posts of one request."""

    posts: tuple[Post, ...]
    """The posts; a single one is sent alone."""

    earlier: tuple[BilledReply, ...] = ()
    """The replies that its only post has been billed for before."""


class Llm(EndpointClassifier[LlmOptions]):
    """Gives the declared labels, `llm_model_name`, and the tokens that were used."""

    options_type = LlmOptions
    needs_numpy = False

    @classmethod
    def freeze(cls, options: LlmOptions, inputs: InputFiles) -> LlmOptions:
        """Read the prompt and check it, and find the API key and the quota folder."""
        frozen = find_places(options, inputs)
        prompt = inputs.text("prompt", options.prompt)
        check_texts(frozen, prompt, inputs)
        return replace(frozen, prompt=prompt)

    @classmethod
    def declared(cls, options: LlmOptions) -> tuple[Column, ...]:
        """Return the columns of the labels and of the tokens."""
        return (*PromptBuilder(options).columns, *usage.COLUMNS)

    @classmethod
    def render_request(cls, options: LlmOptions, posts: Sequence[Post]) -> RenderedRequest:
        """Return the request about these posts, as a task sends it first."""
        prompts = PromptBuilder(options)
        url = cls.address(options, prompts.path)
        return RenderedRequest(url=url, body=prompts.preview(posts), note=preview_note(options))

    def __init__(self, options: LlmOptions, share: TaskShare) -> None:
        """Read the API key; send nothing yet."""
        self._prompts = PromptBuilder(options)
        super().__init__(options, share, (self._prompts,))
        self._multi_post_failed = False
        self.columns = self.declared(options)

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, as described by the base class."""
        try:
            yield from self._classify(posts)
        except Stopped:  # the task was asked to stop before the first post was sent
            return

    def _classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if posts:
            self._service.detect_capabilities()
        groups = (
            PostGroup(posts=group)
            for group in multi_post.group_posts(posts, self._prompts.posts_per_prompt)
        )
        requeued: deque[PostGroup] = deque()
        for answers in map_concurrently(
            groups,
            functools.partial(self._send, requeued),
            limit=self._options.max_in_flight,
            stopping=self._stopping,
            requeued=requeued,
            waiting=self._service.waiting,
        ):
            yield from answers
        self._streak.check(self._stopping)

    def _send(
        self, requeued: deque[PostGroup], group: PostGroup, stop: threading.Event
    ) -> list[Answer]:
        """Return the answers for those posts of a group that have one, and requeue the others.

        Requeued posts are sent one by one.
        """
        self._streak.check(stop)
        if len(group.posts) == 1:
            post, billed = group.posts[0], list(group.earlier)
            outcome = ask(self._service, self._prompts, post, billed, stop)
            return [self._answer(post, billed, outcome)]
        reply = self._service.post(functools.partial(self._prompts.multi, group.posts), stop)
        self._service.check_access(reply)
        if reply.status != 200 and not self._multi_post_failed:
            self._multi_post_failed = True
            print(
                f"{len(group.posts)} posts in one prompt: {reply.summary}: falling back to one "
                "post per prompt",
                flush=True,
            )
        values = self._prompts.values_by_position(reply, group.posts)
        answers: list[Answer] = []
        for position, post in enumerate(group.posts):
            bill = BilledReply(reply=reply, posts=len(group.posts), position=position)
            if position in values:
                outcome = Outcome(values=values[position])
                kept_with = answers[0].uri if answers else None
                answers.append(self._answer(post, [bill], outcome, kept_with=kept_with))
            else:
                requeued.append(PostGroup(posts=(post,), earlier=(bill,)))
        return answers

    def _answer(
        self,
        post: Post,
        billed: Sequence[BilledReply],
        outcome: Outcome,
        *,
        kept_with: str | None = None,
    ) -> Answer:
        """Return a post's answer with what it cost.

        Args:
            post: the post.
            billed: all replies about this post; the last one decided.
            outcome: its label values, or why it has none.
            kept_with: the uri of the post with which the response is kept; None for this one.
        """
        raw = None
        if self._options.keep_raw:
            raw = json.dumps({"response_of": kept_with}) if kept_with else billed[-1].reply.text
        answer = Answer(post.uri, outcome.values, outcome.reason, tokens_of(billed), raw)
        return self._streak.count(answer, outcome.fault)
