"""Label posts with a language model behind any OpenAI-compatible chat endpoint.

A request holds one post or a few. Every answer is validated here, because nothing that a model says
is trusted.
"""

import functools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from pipeline import usage
from pipeline.classifiers.base import Classifier, RenderedRequest, TaskShare
from pipeline.classifiers.llm import chat, multi_post
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.classifiers.llm.chat_service import CHAT_PATH, ChatService
from pipeline.classifiers.llm.check_texts import check_texts
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.requests import (
    BilledReply,
    PostGroup,
    PromptBuilder,
    preview_note,
)
from pipeline.classifiers.options import check_transport
from pipeline.classifiers.unlabeled_streak import UnlabeledStreak
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import check_key, find_key, read_key
from pipeline.errors import TaskError
from pipeline.model import Answer, Column, LabelValue, Post
from pipeline.service.address import with_path
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Stopped
from pipeline.service.quota.shared_pace import find_quota_folder


class Llm(Classifier[LlmOptions]):
    """Gives the declared labels, `llm_model_name`, and the tokens that were used."""

    options_type = LlmOptions

    @classmethod
    def freeze(cls, options: LlmOptions, inputs: InputFiles) -> LlmOptions:
        """Read the prompt and check it, and find the API key and the quota folder."""
        frozen = cls._with_places(options, inputs)
        prompt = inputs.text("prompt", options.prompt)
        check_texts(frozen, prompt, inputs)
        return replace(frozen, prompt=prompt)

    @classmethod
    def refreeze(cls, options: LlmOptions, before: LlmOptions, inputs: InputFiles) -> LlmOptions:
        """Find the API key and the quota folder again."""
        return cls._with_places(options, inputs)

    @classmethod
    def _with_places(cls, options: LlmOptions, inputs: InputFiles) -> LlmOptions:
        env, file = find_key(
            env=options.api_key_env, file=options.api_key_file, default_env=None, inputs=inputs
        )
        if options.base_url and (env or file):
            check_transport(options.base_url, allow_insecure=options.allow_insecure, inputs=inputs)
        quota_folder = options.quota_folder
        if options.requests_per_minute is not None:
            quota_folder = find_quota_folder(quota_folder, inputs)
        return replace(options, quota_folder=quota_folder, api_key_env=env, api_key_file=file)

    @classmethod
    def check(cls, options: LlmOptions, inputs: InputFiles) -> None:
        """Look for the API key and the quota folder again."""
        check_key(options.api_key_env, options.api_key_file, inputs)
        if options.requests_per_minute is not None:
            find_quota_folder(options.quota_folder, inputs)

    @classmethod
    def declared(cls, options: LlmOptions) -> tuple[Column, ...]:
        """Return the columns of the labels and of the tokens."""
        return (*PromptBuilder(options).columns, *usage.COLUMNS)

    @classmethod
    def render_request(cls, options: LlmOptions, posts: Sequence[Post]) -> RenderedRequest:
        """Return the request about these posts, as a task sends it first."""
        base_url = options.base_url or (options.server.base_path if options.server else "")
        body = PromptBuilder(options).preview(posts)
        url = with_path(base_url, CHAT_PATH)
        return RenderedRequest(url=url, body=body, note=preview_note(options))

    def __init__(self, options: LlmOptions, share: TaskShare) -> None:
        """Read the API key; send nothing yet."""
        self._options = options
        self._stopping = share.stopping
        self._prompts = PromptBuilder(options)
        self._multi_post_failed = False
        self.columns = self.declared(options)
        self.model = options.model
        self.secret = read_key(options.api_key_env, options.api_key_file)
        self._service = ChatService(options, share, self.secret, self._prompts)
        self._streak = UnlabeledStreak(self._service.prove_labels)

    @property
    def trouble(self) -> str:
        """What is wrong with the service at the moment; '' if nothing is."""
        return self._service.trouble

    def close(self) -> None:
        """Give the share of the quota back, and end the task's own server."""
        self._service.close()

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
            return [self._send_single(group.posts[0], list(group.earlier), stop)]
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
            billed = BilledReply(reply=reply, posts=len(group.posts), position=position)
            if position in values:
                kept_with = answers[0].uri if answers else None
                answers.append(
                    self._answer(post, [billed], values=values[position], kept_with=kept_with)
                )
            else:
                requeued.append(PostGroup(posts=(post,), earlier=(billed,)))
        return answers

    def _send_single(self, post: Post, billed: list[BilledReply], stop: threading.Event) -> Answer:
        """Send one post until its answer is valid, at most `answer_tries` times.

        With a seed, a server that has given the same invalid answer twice is not paid for a third.
        """
        fault: Callable[[], TaskError] | None = None
        reason = ""
        for attempt in range(self._options.answer_tries):
            build = functools.partial(self._prompts.single, post, attempt=attempt)
            reply = self._service.post(build, stop)
            billed.append(BilledReply(reply=reply))
            if reply.status != 200:
                failure = self._service.failure_reason(reply, stop)
                return self._answer(post, billed, reason=failure)
            try:
                return self._answer(post, billed, values=self._prompts.values(reply))
            except InvalidAnswer as invalid:
                reason = invalid.reason
                if not invalid.facts.is_about_the_text:
                    fault = functools.partial(self._service.no_post_labeled, invalid, reply)
                if not invalid.facts.is_asked_again or self._is_settled(attempt, billed):
                    break
        return self._answer(post, billed, reason=reason, fault=fault)

    def _is_settled(self, attempt: int, billed: Sequence[BilledReply]) -> bool:
        """Report whether the same question got the same answer twice, as it would once more."""
        if attempt == 0 or not self._prompts.is_same_question(attempt):
            return False
        return chat.is_same_answer(billed[-2].reply.body, billed[-1].reply.body)

    def _answer(
        self,
        post: Post,
        billed: Sequence[BilledReply],
        *,
        values: Mapping[str, LabelValue] | None = None,
        reason: str | None = None,
        kept_with: str | None = None,
        fault: Callable[[], TaskError] | None = None,
    ) -> Answer:
        """Return a post's answer with what it cost.

        Args:
            post: the post.
            billed: all replies about this post; the last one decided.
            values: its label values, if it has a label.
            reason: why it has none.
            kept_with: the uri of the post with which the response is kept; None for this one.
            fault: returns the end of the task if no post gets a label; None if that is this text's.
        """
        raw = None
        if self._options.keep_raw:
            raw = json.dumps({"response_of": kept_with}) if kept_with else billed[-1].reply.text
        # An HTTP error costs nothing. A failure without an answer may have cost anything.
        tokens = usage.sum_tokens(
            usage.share_of_tokens(
                usage.reply_tokens(part.reply.body), posts=part.posts, nth=part.position
            )
            for part in billed
            if part.reply.status <= 200
        )
        return self._streak.count(Answer(post.uri, values, reason, tokens, raw), fault)
