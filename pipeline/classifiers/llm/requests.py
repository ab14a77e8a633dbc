"""Build the requests about posts, and read the label values of the replies."""

import functools
from collections.abc import Mapping, Sequence

from pipeline.classifiers.llm import chat, labels, multi_post, replies
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.classifiers.llm.endpoint.question import PROBE, Values
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.output_modes import (
    AUTO,
    MODES,
    PROOF_TOKENS,
    ProbeRequest,
    ServerCapabilities,
    constraint,
    logprobs_fields,
)
from pipeline.classifiers.llm.probabilities import probability_columns, read_probabilities
from pipeline.classifiers.llm.request_fields import has_seed
from pipeline.model import Column, ColumnKind, JsonObject, LabelValue, Post
from pipeline.service.http_reply import Reply


class PromptBuilder:
    """Writes the requests for one configuration, and reads the replies.

    `columns` are those of the labels, of their probabilities if they are wanted, and of the model's
    name. `probe_request` is what to detect about the server. `posts_per_prompt` is how many posts
    share a request at most.
    """

    path = chat.PATH

    def __init__(self, options: LlmOptions) -> None:
        """Prepare the prompts."""
        self._options = options
        self.tries = options.answer_tries
        tokens = options.max_tokens * options.posts_per_prompt + PROOF_TOKENS
        self.answer_entries = tokens * (1 + (options.top_logprobs or 0))
        self._declared = options.labels
        self._scores = options.scores
        self._has_seed = has_seed(options.request)
        self.posts_per_prompt = options.posts_per_prompt
        prompt = options.prompt.rstrip() + "\n\n"
        self._prompt = prompt + labels.instructions(self._declared)
        self._multi_post_prompt = prompt + multi_post.instructions(self._declared)
        self._ids = multi_post.make_ids(self.posts_per_prompt, prompt=self._multi_post_prompt)
        self.columns = (
            *(label.column for label in self._declared),
            *(probability_columns(self._declared) if self._scores else ()),
            Column(labels.MODEL_COLUMN, ColumnKind.TEXT),
        )
        self.probe_request = ProbeRequest(
            server=options.server_name,
            model=options.model,
            mode=options.structured_output,
            top_logprobs=options.top_logprobs or 0,
            declared=self._declared,
            fields=options.request,
        )

    def probe(self, capabilities: ServerCapabilities, fields: JsonObject) -> JsonObject:
        """Return the probe with further `fields`, and with room for the word that proves them."""
        request = self._request(PROBE, capabilities, attempt=0)
        limit_field = capabilities.token_limit_field
        return {**request, limit_field: request[limit_field] + PROOF_TOKENS, **fields}

    def single(
        self, post: Post, capabilities: ServerCapabilities, *, attempt: int = 0
    ) -> JsonObject:
        """Return the request about one post.

        Args:
            post: the post.
            capabilities: what the server supports.
            attempt: how many answers about this post were invalid before.
        """
        return {
            **self._request(post, capabilities, attempt),
            **constraint(capabilities.mode, labels.schema(self._declared)),
            **logprobs_fields(capabilities.top_logprobs),
        }

    def multi(self, posts: Sequence[Post], capabilities: ServerCapabilities) -> JsonObject:
        """Return the request about several posts, with the tokens of as many single answers."""
        by_id = dict(zip(self._ids, posts, strict=False))
        return {
            **chat.request(
                model=self._options.model,
                system=self._multi_post_prompt,
                user=multi_post.user_content(by_id),
                temperature=self._options.temperature,
                max_tokens=self._options.max_tokens * len(posts),
                token_limit_field=capabilities.token_limit_field,
            ),
            **self._options.request,
            **constraint(capabilities.mode, multi_post.schema(list(by_id), self._declared)),
            **logprobs_fields(capabilities.top_logprobs),
        }

    def preview(self, posts: Sequence[Post]) -> JsonObject:
        """Return the request about these posts, to a server that honors the strictest mode."""
        mode = self._options.structured_output
        capabilities = ServerCapabilities(
            mode=MODES[0] if mode == AUTO else mode, top_logprobs=self._options.top_logprobs or 0
        )
        if len(posts) == 1:
            return self.single(posts[0], capabilities)
        return self.multi(posts, capabilities)

    def values(self, reply: Reply) -> Values:
        """Return the column values of a reply about one post.

        Raises:
            InvalidAnswer: the answer is not one of the declared labels.
        """
        content, values = replies.read(reply, self._read_answer)
        return self._all_columns(reply, content, values)

    def _read_answer(self, content: str) -> Values:
        return labels.read_answer(content, self._declared)

    def values_by_position(self, reply: Reply, posts: Sequence[Post]) -> dict[int, Values]:
        """Return the column values of a reply about several posts, by position in `posts`.

        Posts without valid values, which must be sent alone, are left out.
        """
        if reply.status != 200:
            return {}
        ids = self._ids[: len(posts)]
        read = functools.partial(multi_post.read_answers, ids=ids, declared=self._declared)
        try:
            content, answers = replies.read(reply, read)
        except InvalidAnswer:
            return {}
        return {
            ids.index(id_): self._all_columns(reply, content, values, within=(id_,))
            for id_, values in answers.items()
        }

    def is_same_question(self, attempt: int) -> bool:
        """Report whether a try sends the request of the try before it, with the same seed."""
        return self._has_seed and self._temperature(attempt) == self._temperature(attempt - 1)

    def _temperature(self, attempt: int) -> float | None:
        temperature = self._options.temperature
        # At temperature 0 the same request gets the same invalid answer. Above 1 is never needed,
        # and some models accept no other temperature than 1, or none above it.
        if temperature is not None and temperature < 1:
            temperature = min(1.0, temperature + 0.3 * attempt)
        return temperature

    def _request(self, post: Post, capabilities: ServerCapabilities, attempt: int) -> JsonObject:
        request = chat.request(
            model=self._options.model,
            system=self._prompt,
            user={"post": post.text},
            temperature=self._temperature(attempt),
            max_tokens=self._options.max_tokens,
            token_limit_field=capabilities.token_limit_field,
        )
        return {**request, **self._options.request}

    def _all_columns(
        self,
        reply: Reply,
        content: str,
        values: Mapping[str, LabelValue],
        *,
        within: tuple[str, ...] = (),
    ) -> Values:
        probabilities: Mapping[str, LabelValue] = {}
        if self._scores:
            tokens = chat.token_logprobs(reply.body)
            probabilities = read_probabilities(
                tokens, content, self._declared, values, within=within
            )
        model = chat.served_model(reply.body) or self._options.model
        return {**values, **probabilities, labels.MODEL_COLUMN: model}


def preview_note(options: LlmOptions) -> str:
    """Return what a request may have in another way than in `PromptBuilder.preview`."""
    if options.structured_output != AUTO:
        return ""
    return (
        "a task first detects how the server can be bound to the labels (structured_output: auto): "
        f"{MODES[0]}, as shown here, is the strictest way"
    )
