"""Write the requests to a guard model, and read the replies."""

import json
from collections.abc import Mapping

from pipeline.classifiers.guard.options import CATEGORIES, AskedLabel, GuardOptions
from pipeline.classifiers.guard.template import Template
from pipeline.classifiers.guard.word_odds import word_shares
from pipeline.classifiers.guard.words import (
    FoundWord,
    read_categories,
    read_word,
    spellings_by_value,
)
from pipeline.classifiers.llm import chat, replies
from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.classifiers.llm.answer_text import without_thinking
from pipeline.classifiers.llm.endpoint.question import PROBE, Values
from pipeline.classifiers.llm.labels import MODEL_COLUMN
from pipeline.classifiers.llm.output_modes import (
    UNCONSTRAINED,
    ProbeRequest,
    ServerCapabilities,
    logprobs_fields,
)
from pipeline.model import JsonObject, LabelValue, Post
from pipeline.service.http_reply import Reply


class GuardQuestion:
    """One question of a configuration: a post in, one of the declared words out."""

    # The answer is the model's likeliest one. Asked again, it would be the same.
    tries = 1

    def __init__(self, options: GuardOptions, asked: AskedLabel) -> None:
        """Prepare the template."""
        self._options = options
        self._asked = asked
        self._template = Template(parts=options.template)
        self._spellings = spellings_by_value(options.words)
        self.label = asked.label
        self.path = chat.PATH if options.messages else chat.PLAIN_PATH
        self.answer_entries = options.max_tokens * (1 + (options.top_logprobs or 0))
        self.probe_request = ProbeRequest(
            server=options.server_name,
            model=options.model,
            mode=UNCONSTRAINED,
            top_logprobs=options.top_logprobs or 0,
            declared=(),
            fields=options.request,
            needs_logprobs=options.scores,
        )

    def probe(self, capabilities: ServerCapabilities, fields: JsonObject) -> JsonObject:
        """Return the request about the fixed sentence with further `fields`."""
        return {**self._request(PROBE, capabilities), **self._in_form(fields)}

    def single(
        self, post: Post, capabilities: ServerCapabilities, *, attempt: int = 0
    ) -> JsonObject:
        """Return the request about one post. It is the same at every attempt."""
        fields = logprobs_fields(capabilities.top_logprobs)
        return {**self._request(post, capabilities), **self._in_form(fields)}

    def preview(self, post: Post) -> JsonObject:
        """Return the request about one post to a server that gives all logprobs."""
        top = self._options.top_logprobs or 0
        return self.single(post, ServerCapabilities(mode=UNCONSTRAINED, top_logprobs=top))

    def is_same_question(self, attempt: int) -> bool:
        """Report that another try is the same question."""
        return True

    def values(self, reply: Reply) -> Values:
        """Return the column values of a reply.

        Raises:
            InvalidAnswer: the answer does not begin with a declared word, or its categories are
                cut.
        """
        _, (answer, found) = replies.read(reply, self._read)
        values: Values = {self.label: found.value}
        if self._options.scores:
            tokens = chat.token_logprobs(reply.body)
            shares = word_shares(tokens, answer, found.start, self._spellings)
            values |= self._probabilities(shares, found)
        if self._options.categories:
            if chat.ending(reply.body) is AnswerProblem.CUT:
                raise InvalidAnswer(AnswerProblem.CUT)
            values[CATEGORIES] = read_categories(found.after)
        model = chat.served_model(reply.body) or self._options.model
        return {**values, MODEL_COLUMN: model}

    def _read(self, content: str) -> tuple[str, FoundWord]:
        answer = without_thinking(content)
        return answer, read_word(answer, self._options.words, self._options.answer_prefix)

    def _probabilities(self, shares: Mapping[LabelValue, float], found: FoundWord) -> Values:
        if not self._options.is_graded:
            true = 1 - shares[False] if False in shares else shares.get(True)
            return {f"prob_{self.label}": true}
        by_value = {
            value if isinstance(value, str) else f"{value:g}": _round(shares.get(value))
            for value in self._spellings
        }
        return {
            f"prob_{self.label}": shares.get(found.value),
            f"probs_{self.label}": json.dumps(by_value, ensure_ascii=False) if shares else None,
        }

    def _request(self, post: Post, capabilities: ServerCapabilities) -> JsonObject:
        options = self._options
        parts = self._template.render(post.text, self._asked.question)
        temperature = options.temperature
        if options.messages:
            asked: JsonObject = {
                "messages": [
                    {"role": message.role, "content": part}
                    for message, part in zip(options.messages, parts, strict=True)
                ]
            }
            limit_field = capabilities.token_limit_field
        else:
            asked, limit_field = {"prompt": parts[0]}, chat.MAX_TOKENS
        return {
            "model": options.model,
            **asked,
            **({} if temperature is None else {"temperature": temperature}),
            limit_field: options.max_tokens,
            **options.request,
        }

    def _in_form(self, fields: JsonObject) -> JsonObject:
        """Return fields for logprobs as this endpoint names them."""
        if self._options.messages or "top_logprobs" not in fields:
            return fields
        others = {name: value for name, value in fields.items() if name != "top_logprobs"}
        return {**others, "logprobs": fields["top_logprobs"]}


def _round(share: float | None) -> float | None:
    return share if share is None else round(share, 6)
