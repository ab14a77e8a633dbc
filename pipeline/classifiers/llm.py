"""Any OpenAI-compatible chat endpoint: one post a request, the answer validated here.

What a server honours is found out once (structured.py), and nothing that it says is trusted.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence

from pipeline import tokens
from pipeline.budget import Pace
from pipeline.classifiers import chat, labels, probabilities, structured
from pipeline.classifiers.base import KEEP_RAW, Classifier, TaskShare
from pipeline.classifiers.structured import AUTO, MODES, UNBOUND, Found, Wish, constraint
from pipeline.errors import Cause, TaskError
from pipeline.http import Endpoint, Patience, Reply, base_url
from pipeline.inflight import in_flight
from pipeline.model import Answer, Column, JsonObject, LabelValue, Post
from pipeline.secret import frozen_key_options, read_key
from pipeline.section import Section

# What a server honours is asked with this, not with a post: that one may be too long or refused.
_PROBE = Post("", "The sun is out today.")


class Llm(Classifier):
    """The labels declared in the configuration, `llm_model_name`, and the tokens that were used."""

    # The address too: a server of one's own has another in every job.
    operational = frozenset(
        {
            *("base_url", "requests_per_minute", "max_in_flight", "timeout_seconds"),
            *("api_key_env", "api_key_file", "price"),
        }
    )

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        prompt = section.input_file("prompt")
        declared = labels.freeze(section)
        return {
            "base_url": base_url(section),
            "model": section.text("model"),
            "prompt": prompt.read_text(encoding="utf-8"),
            "labels": declared,
            **_freeze_scores(section, labels.thaw(declared)),
            "structured_output": section.choice("structured_output", (AUTO, *MODES), AUTO),
            "temperature": section.number("temperature", 0.0),
            "max_tokens": section.integer("max_tokens", 256, least=1),
            "answer_tries": section.integer("answer_tries", 3, least=1),
            "max_in_flight": section.integer("max_in_flight", 32, least=1),
            "requests_per_minute": section.number("requests_per_minute", None, above=0),
            "timeout_seconds": section.number("timeout_seconds", 120.0, above=0),
            "price": tokens.freeze_price(section),
            **frozen_key_options(section, default_env=None),
        }

    def __init__(self, options: JsonObject, share: TaskShare) -> None:
        self._options = options
        self._labels = labels.thaw(options["labels"])
        self._system = options["prompt"].rstrip() + "\n\n" + labels.instructions(self._labels)
        self._notes = share.notes
        self._wish = Wish(
            server=options["base_url"],
            model=options["model"],
            mode=options["structured_output"],
            top_logprobs=options.get("top_logprobs", 0),
            declared=self._labels,
        )
        self._found: Found | None = None
        scored = probabilities.columns(self._labels) if self._wish.top_logprobs else ()
        self.columns = (
            *(label.column for label in self._labels),
            *scored,
            Column(labels.MODEL_COLUMN, "text"),
            *tokens.COLUMNS,
        )
        self.model = options["model"]
        self.secret = read_key(options)
        key = self.secret.reveal()
        rate = options["requests_per_minute"]
        self._endpoint = Endpoint(
            options["base_url"] + "/chat/completions",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            secret=self.secret,
            connections=options["max_in_flight"],
            pace=Pace(rate / share.parallel_tasks if rate else None),
            patience=Patience(timeout=options["timeout_seconds"]),
            probe=self._question(_PROBE, 0),
        )

    @property
    def trouble(self) -> str:
        return self._endpoint.trouble

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if posts and self._found is None:
            self._found = self._find()
            if self._wish.top_logprobs and not self._found.top_logprobs:
                print(
                    f"{self._wish.server} gives no logprobs: no label has a probability", flush=True
                )
        return in_flight(posts, self._ask, limit=self._options["max_in_flight"])

    def _find(self) -> Found:
        """As configured, as another task has noted it, or as the server answers when asked."""
        if not self._wish.open:
            return Found(mode=self._wish.mode)
        note = self._wish.note(self._notes) if self._notes else None
        if note and (noted := structured.read_note(note)):
            return noted
        found = self._ask_the_server()
        if note and found.firm:
            try:
                structured.write_note(note, self._wish, found)
            except OSError as error:
                print(f"{note}: not written, the next task asks anew: {error}", flush=True)
        return found

    def _ask_the_server(self) -> Found:
        """The unconstrained question comes first, with all patience: a server that is still
        starting must not be taken for one that honours nothing."""
        stop = threading.Event()
        first = self._endpoint.post(self._question(_PROBE, 0), stop)
        if first.status != 200:
            self._row_reason(first)

        def ask(fields: JsonObject) -> Reply:
            payload = {**self._question(_PROBE, 0, structured.PROOF_TOKENS), **fields}
            reply = self._endpoint.post(payload, stop, tries=2)
            self._refuse_fatal(reply)
            return reply

        return structured.find(self._wish, ask)

    def _ask(self, post: Post, stop: threading.Event) -> Answer:
        found = self._found or Found(mode=UNBOUND)
        reason = "invalid_answer"
        replies: list[Reply] = []
        for nth in range(self._options["answer_tries"]):
            reply = self._endpoint.post(self._request(post, found, nth), stop)
            replies.append(reply)
            if reply.status != 200:
                return self._answer(post, replies, reason=self._row_reason(reply))
            ending = chat.ending(reply.body)
            if ending:
                return self._answer(post, replies, reason=ending)
            try:
                return self._answer(post, replies, values=self._values(reply))
            except labels.InvalidAnswer as error:
                reason = f"invalid_answer: {error}"
        return self._answer(post, replies, reason=reason)

    def _answer(
        self,
        post: Post,
        replies: Sequence[Reply],
        *,
        values: Mapping[str, LabelValue] | None = None,
        reason: str | None = None,
    ) -> Answer:
        """`replies`: all that were paid for this post; the last one decided."""
        raw = replies[-1].text if self._options.get(KEEP_RAW) else None
        # An error in HTTP costs nothing; what is no answer at all may have cost anything.
        facts = tokens.summed(reply.body for reply in replies if reply.status <= 200)
        return Answer(post.uri, values, reason, facts, raw)

    def _request(self, post: Post, found: Found, nth: int) -> JsonObject:
        return {
            **self._question(post, nth),
            **constraint(found.mode, labels.schema(self._labels)),
            **structured.logprobs(found.top_logprobs),
        }

    def _question(self, post: Post, nth: int, more_tokens: int = 0) -> JsonObject:
        return chat.request(
            model=self.model,
            system=self._system,
            asked={"post": post.text},
            # The same question at temperature 0 gets the same invalid answer.
            temperature=self._options["temperature"] + 0.3 * nth,
            max_tokens=self._options["max_tokens"] + more_tokens,
        )

    def _values(self, reply: Reply) -> Mapping[str, LabelValue]:
        content = chat.content(reply.body)
        if content is None:
            raise labels.InvalidAnswer("no content")
        values = labels.read_answer(content, self._labels)
        if self._wish.top_logprobs:
            said = chat.logprobs(reply.body)
            values |= probabilities.read(said, content, self._labels, values)
        return {**values, labels.MODEL_COLUMN: chat.served_model(reply.body) or self.model}

    def _row_reason(self, reply: Reply) -> str:
        """Why this post has no label; raises where no post would get one."""
        self._refuse_fatal(reply)
        code = chat.error_code(reply.body)
        if code in chat.ROW_CODES:
            return code
        if reply.status >= 500 or reply.status <= 0:
            return f"http_{reply.status}" if reply.status > 0 else "no_answer"
        raise TaskError(Cause.REFUSED, f"{self._endpoint.url}: {reply.shown}")

    def _refuse_fatal(self, reply: Reply) -> None:
        if reply.status in (401, 402, 403, 404, 410, 429):
            raise TaskError(
                Cause.REFUSED,
                f"{self._endpoint.url}: {reply.shown}: check classifier.base_url, model and key",
            )


def _freeze_scores(section: Section, declared: tuple[labels.Label, ...]) -> JsonObject:
    """Without `scores`, nothing: then `top_logprobs` is a key that nothing reads."""
    if not section.boolean("scores", False):
        return {}
    scored = [column.name for column in probabilities.columns(declared)]
    if not scored:
        raise section.error("scores", "no label is of type bool or choice: only those have scores")
    for label in declared:
        if label.name in scored:
            raise section.error("labels", f"{label.name!r} is the column of a label's score, too")
        if {None, "null"} <= set(label.choices):
            raise section.error("labels", f"{label.name}: null and 'null' have one score")
    return {"scores": True, "top_logprobs": section.integer("top_logprobs", 20, least=2)}
