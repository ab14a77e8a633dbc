"""Any OpenAI-compatible chat endpoint: a post or a few a request, each answer validated here.

What a server honors is found out once (structured.py), and nothing that it says is trusted.
"""

import dataclasses
import functools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from pipeline import usage
from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.llm import chat, labels, multi_post, output_modes
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.output_modes import UNBOUND, ServerCapabilities
from pipeline.classifiers.llm.requests import PROBE, Asking, BilledReply, PromptBuilder
from pipeline.classifiers.llm.server import server
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import find_key, read_key
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject, LabelValue, Post
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Endpoint, ReplyRules, RequestPolicy, Service, Stopped
from pipeline.service.http_reply import Reply
from pipeline.service.quota.shared_pace import find_quota_folder, pace_of

# Statuses that are one post's, unless whoever asks gets them.
_SUSPECT = (400, 413, 422)


class Llm(Classifier[LlmOptions]):
    """The labels declared in the configuration, `llm_model_name`, and the tokens that were used."""

    options_type = LlmOptions

    @classmethod
    def freeze(cls, options: LlmOptions, inputs: InputFiles) -> LlmOptions:
        env, file = find_key(
            env=options.api_key_env, file=options.api_key_file, default_env=None, inputs=inputs
        )
        quota_folder = options.quota_folder
        if options.requests_per_minute is not None:
            quota_folder = find_quota_folder(quota_folder, inputs)
        return replace(
            options,
            prompt=inputs.text("prompt", options.prompt),
            quota_folder=quota_folder,
            api_key_env=env,
            api_key_file=file,
        )

    @classmethod
    def declared(cls, options: LlmOptions) -> tuple[Column, ...]:
        return (*PromptBuilder(options).columns, *usage.COLUMNS)

    def __init__(self, options: LlmOptions, share: TaskShare) -> None:
        self._options = options
        self._notes = share.notes
        self._stopping = share.stopping
        self._question = PromptBuilder(options)
        self._found, self._is_found = ServerCapabilities(mode=UNBOUND), False
        self._refused_several = False
        self.columns = self.declared(options)
        self.model = options.model
        self.secret = read_key(options.api_key_env, options.api_key_file)
        key = self.secret.reveal()
        self._engine = server.of_task(options.server, options.model, share, self.secret)
        # Not the key's alone: any key will do for many a server, and each has limits of its own.
        self._pace = pace_of(
            options.requests_per_minute,
            options.quota_folder,
            owner=f"{options.base_url} {key}",
        )
        self._endpoint = Endpoint(
            Service(
                url=(options.base_url or "") + "/chat/completions",
                headers={"Authorization": f"Bearer {key}"} if key else {},
                secret=self.secret,
                connections=options.max_in_flight,
                server=self._engine.address if self._engine else None,
            ),
            pace=self._pace,
            policy=RequestPolicy(timeout_s=options.timeout_seconds),
            rules=ReplyRules(
                probe=lambda _: self._question.about(PROBE, self._found, nth=0),
                is_complete=chat.is_completion,
            ),
        )

    @property
    def trouble(self) -> str:
        return (
            (self._engine and self._engine.trouble) or self._pace.trouble or self._endpoint.trouble
        )

    def close(self) -> None:
        self._pace.close()
        if self._engine:
            self._engine.close()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        try:
            yield from self._classify(posts)
        except Stopped:  # told to stop before the first post was asked
            return

    def _classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if posts and not self._is_found:
            self._found, self._is_found = self._find(), True
        asked = (Asking(posts=group) for group in multi_post.groups(posts, self._question.most))
        again: deque[Asking] = deque()
        ask = functools.partial(self._ask, again)
        limit = self._options.max_in_flight
        for answers in map_concurrently(
            asked, ask, limit=limit, stopping=self._stopping, requeued=again
        ):
            yield from answers

    def _find(self) -> ServerCapabilities:
        wish = self._question.wish
        found = output_modes.found(wish, self._notes, self._ask_the_server)
        if wish.top_logprobs and not found.top_logprobs:
            print(f"{wish.server} gives no logprobs: no label has a probability", flush=True)
        return found

    def _ask_the_server(self) -> ServerCapabilities:
        """The unconstrained question comes first, with all patience: a server that is still
        starting must not be taken for one that honors nothing."""
        stop = self._stopping
        first = self._post(functools.partial(self._question.about, PROBE, nth=0), stop)
        if first.status != 200:
            self._row_reason(first, stop)

        def ask(fields: JsonObject) -> Reply:
            reply = self._post(lambda found: self._question.proof(found, fields), stop, tries=2)
            # About these fields, as OpenAI's on logprobs, where it is none without them.
            if reply.status != 403 or not self._endpoint.answers_probe(None, stop):
                self._refuse_fatal(reply)
            return reply

        found = output_modes.find(self._question.wish, ask)
        return dataclasses.replace(found, limit=self._found.limit)

    def _post(
        self,
        ask: Callable[[ServerCapabilities], JsonObject],
        stop: threading.Event,
        tries: int | None = None,
    ) -> Reply:
        """Where the server takes no `max_tokens`, it is asked by the other name, and all from now
        on: also where nothing was to be found out before the first post, or a note is older."""
        found = self._found
        reply = self._endpoint.post(ask(found), stop, attempts=tries)
        if found.limit == chat.MAX_TOKENS == chat.unsupported(reply.body):
            self._found = dataclasses.replace(found, limit=chat.MAX_COMPLETION_TOKENS)
            reply = self._endpoint.post(ask(self._found), stop, attempts=tries)
        return reply

    def _ask(self, again: deque[Asking], asked: Asking, stop: threading.Event) -> list[Answer]:
        """Answers for those posts that have one; the others are put into `again`, one by one."""
        if len(asked.posts) == 1:
            return [self._ask_one(asked.posts[0], list(asked.paid), stop)]
        reply = self._post(functools.partial(self._question.about_several, asked.posts), stop)
        self._refuse_fatal(reply)
        if reply.status != 200 and not self._refused_several:
            self._refused_several = True
            posts = f"{len(asked.posts)} posts in one prompt"
            print(f"{posts}: {reply.summary}: such ones are asked about alone", flush=True)
        values = self._question.values_of_several(reply, asked.posts)
        answers: list[Answer] = []
        for nth, post in enumerate(asked.posts):
            paid = BilledReply(reply=reply, posts=len(asked.posts), nth=nth)
            if nth in values:
                kept_with = answers[0].uri if answers else None
                answers.append(self._answer(post, [paid], values=values[nth], kept_with=kept_with))
            else:
                again.append(Asking(posts=(post,), paid=(paid,)))
        return answers

    def _ask_one(self, post: Post, paid: list[BilledReply], stop: threading.Event) -> Answer:
        reason = "invalid_answer"
        for nth in range(self._options.answer_tries):
            reply = self._post(functools.partial(self._question.about, post, nth=nth), stop)
            paid.append(BilledReply(reply=reply))
            if reply.status != 200:
                return self._answer(post, paid, reason=self._row_reason(reply, stop))
            ending = chat.ending(reply.body)
            if ending:
                return self._answer(post, paid, reason=ending)
            try:
                return self._answer(post, paid, values=self._question.values(reply))
            except labels.InvalidAnswer as error:
                reason = f"invalid_answer: {error}"
        return self._answer(post, paid, reason=reason)

    def _answer(
        self,
        post: Post,
        paid: Sequence[BilledReply],
        *,
        values: Mapping[str, LabelValue] | None = None,
        reason: str | None = None,
        kept_with: str | None = None,
    ) -> Answer:
        """`paid`: all that was asked for this post; the last reply decided. `kept_with`: the uri of
        the post that the reply is kept with; None: this one."""
        raw = None
        if self._options.keep_raw:
            raw = json.dumps({"response_of": kept_with}) if kept_with else paid[-1].reply.text
        # An error in HTTP costs nothing; what is no answer at all may have cost anything.
        facts = usage.summed(
            usage.share(usage.used(one.reply.body), posts=one.posts, nth=one.nth)
            for one in paid
            if one.reply.status <= 200
        )
        return Answer(post.uri, values, reason, facts, raw)

    def _row_reason(self, reply: Reply, stop: threading.Event) -> str:
        """Why this post has no label; raises where no post would get one."""
        self._refuse_fatal(reply)
        code = self.secret.redact(chat.error_code(reply.body))
        if code in chat.ROW_CODES:
            return code
        if reply.failed:
            return reply.reason
        if reply.status in _SUSPECT and self._endpoint.answers_probe(None, stop):
            # Without the server's words, which may be the post's.
            return reply.reason + (f": {code}" if chat.is_word(code) else "")
        output_modes.forget(self._question.wish, self._notes)
        # It is part of the question, and not dropped as if it were not.
        its_own = ": set classifier.temperature to null, and the model's own is used"
        advice = its_own if chat.unsupported(reply.body) == "temperature" else ""
        raise TaskError(Cause.REFUSED, f"{self._endpoint.url}: {reply.summary}{advice}")

    def _refuse_fatal(self, reply: Reply) -> None:
        if reply.status in (401, 402, 403, 404, 410, 429):
            output_modes.forget(self._question.wish, self._notes)
            raise TaskError(
                Cause.REFUSED,
                f"{self._endpoint.url}: {reply.summary}: check classifier.base_url, model and key",
            )
