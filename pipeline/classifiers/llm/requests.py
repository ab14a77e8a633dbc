"""What a model is asked about one post or several, and what its reply says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.classifiers.llm import chat, labels, multi_post, probabilities
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.output_modes import (
    PROOF_TOKENS,
    ProbeRequest,
    ServerCapabilities,
    constraint,
    logprobs,
)
from pipeline.model import Column, ColumnKind, JsonObject, LabelValue, Post
from pipeline.service.http_reply import Reply

# What a server honours is asked with this, not with a post: that one may be too long or refused.
PROBE = Post("", "The sun is out today.")

Values = dict[str, LabelValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class BilledReply:
    """A reply, and how many posts share what it cost; the one that it is kept for is the `nth` of
    them, from 0."""

    reply: Reply
    posts: int = 1
    nth: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """What goes into one request, and what was paid for its only post before."""

    posts: tuple[Post, ...]
    paid: tuple[BilledReply, ...] = ()


class PromptBuilder:
    """The labels of one configuration, as requests and replies.

    `columns` are those of the labels, of their probabilities where they are wanted, and the model's
    name; `wish` is what is to be found out of the server.
    """

    def __init__(self, options: LlmOptions) -> None:
        self._options = options
        self._declared = options.labels
        self._scored = options.scores
        self.most = options.posts_per_prompt
        prompt = options.prompt.rstrip() + "\n\n"
        self._of_one = prompt + labels.instructions(self._declared)
        self._of_several = prompt + multi_post.instructions(self._declared)
        self._ids = multi_post.ids(self.most, known_by=self._of_several)
        self.columns = (
            *(label.column for label in self._declared),
            *(probabilities.columns(self._declared) if self._scored else ()),
            Column(labels.MODEL_COLUMN, ColumnKind.TEXT),
        )
        self.wish = ProbeRequest(
            server=options.server_name,
            model=options.model,
            mode=options.structured_output,
            top_logprobs=options.top_logprobs or 0,
            declared=self._declared,
        )

    def proof(self, found: ServerCapabilities, fields: JsonObject) -> JsonObject:
        """The probe, bound by `fields`, with room for the word that proves it."""
        request = self._request(PROBE, found, 0)
        return {**request, found.limit: request[found.limit] + PROOF_TOKENS, **fields}

    def about(self, post: Post, found: ServerCapabilities, *, nth: int) -> JsonObject:
        return {
            **self._request(post, found, nth),
            **constraint(found.mode, labels.schema(self._declared)),
            **logprobs(found.top_logprobs),
        }

    def about_several(self, posts: Sequence[Post], found: ServerCapabilities) -> JsonObject:
        """As many tokens as so many single answers may take."""
        by_id = dict(zip(self._ids, posts, strict=False))
        return {
            **chat.request(
                model=self._options.model,
                system=self._of_several,
                asked=multi_post.asked(by_id),
                temperature=self._options.temperature,
                max_tokens=self._options.max_tokens * len(posts),
                limit=found.limit,
            ),
            **constraint(found.mode, multi_post.schema(list(by_id), self._declared)),
            **logprobs(found.top_logprobs),
        }

    def values(self, reply: Reply) -> Values:
        """Raises InvalidAnswer."""
        content = chat.content(reply.body)
        if content is None:
            raise labels.InvalidAnswer("no content")
        return self._all_columns(reply, content, labels.read_answer(content, self._declared))

    def values_of_several(self, reply: Reply, posts: Sequence[Post]) -> dict[int, Values]:
        """By place in `posts`; without those that have to be asked about alone."""
        content = chat.content(reply.body)
        if reply.status != 200 or chat.ending(reply.body) or content is None:
            return {}
        names = self._ids[: len(posts)]
        try:
            read = multi_post.read(content, names, self._declared)
        except labels.InvalidAnswer:
            return {}
        return {
            names.index(name): self._all_columns(reply, content, values, within=(name,))
            for name, values in read.items()
        }

    def _request(self, post: Post, found: ServerCapabilities, nth: int) -> JsonObject:
        temperature = self._options.temperature
        # The same question at temperature 0 gets the same invalid answer. At 1 it does not, and
        # there are models that take no other, or no more.
        if temperature is not None and temperature < 1:
            temperature = min(1.0, temperature + 0.3 * nth)
        return chat.request(
            model=self._options.model,
            system=self._of_one,
            asked={"post": post.text},
            temperature=temperature,
            max_tokens=self._options.max_tokens,
            limit=found.limit,
        )

    def _all_columns(
        self,
        reply: Reply,
        content: str,
        values: Mapping[str, LabelValue],
        *,
        within: tuple[str, ...] = (),
    ) -> Values:
        shares: Mapping[str, LabelValue] = {}
        if self._scored:
            said = chat.logprobs(reply.body)
            shares = probabilities.read(said, content, self._declared, values, within=within)
        model = chat.served_model(reply.body) or self._options.model
        return {**values, **shares, labels.MODEL_COLUMN: model}
