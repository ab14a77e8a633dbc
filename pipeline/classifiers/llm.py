"""Any OpenAI-compatible chat endpoint: one post a request, the answer validated here.

Servers ignore constraints that they do not know with HTTP 200 and reject valid ones with 500, so
what a server honours is found out by asking once a task, and nothing it says is trusted.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.classifiers import labels
from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.errors import Cause, TaskError
from pipeline.http import Endpoint, Patience, Reply, base_url
from pipeline.inflight import in_flight
from pipeline.model import Answer, Column, JsonObject, LabelValue, Post
from pipeline.secret import frozen_key_options, read_key
from pipeline.section import Section
from pipeline.shared_pace import frozen_quota_options, pace_of

MODES = ("json_schema", "json_object", "none")
# Errors that are about one post and stay so.
_TOO_LONG = "context_length_exceeded"
_TOO_LONG_SIGNS = ("exceed_context_size_error", "maximum context length")
_ROW_CODES = (_TOO_LONG, "content_filter")
# What a server honours is asked with this, not with a post: that one may be too long or refused.
_PROBE = Post("", "The sun is out today.")


class Llm(Classifier):
    """The labels declared in the configuration, and `llm_model_name`."""

    # The address too: a server of one's own has another in every job.
    operational = frozenset(
        {
            *("base_url", "requests_per_minute", "quota_folder", "max_in_flight"),
            *("timeout_seconds", "api_key_env", "api_key_file"),
        }
    )

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        prompt = section.input_file("prompt")
        return {
            "base_url": base_url(section),
            "model": section.text("model"),
            "prompt": prompt.read_text(encoding="utf-8"),
            "labels": labels.freeze(section),
            "structured_output": section.choice("structured_output", ("auto", *MODES), "auto"),
            "temperature": section.number("temperature", 0.0),
            "max_tokens": section.integer("max_tokens", 256, least=1),
            "answer_tries": section.integer("answer_tries", 3, least=1),
            "max_in_flight": section.integer("max_in_flight", 32, least=1),
            **frozen_quota_options(section, None),
            "timeout_seconds": section.number("timeout_seconds", 120.0, above=0),
            **frozen_key_options(section, default_env=None),
        }

    def __init__(self, options: JsonObject, share: TaskShare) -> None:
        self._options = options
        self._labels = labels.thaw(options["labels"])
        self._system = options["prompt"].rstrip() + "\n\n" + labels.instructions(self._labels)
        self._mode: str | None = options["structured_output"]
        self.columns = (
            *(label.column for label in self._labels),
            Column(labels.MODEL_COLUMN, "text"),
        )
        self.model = options["model"]
        self.secret = read_key(options)
        key = self.secret.reveal()
        self._pace = pace_of(options, self.secret)
        self._endpoint = Endpoint(
            options["base_url"] + "/chat/completions",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            secret=self.secret,
            connections=options["max_in_flight"],
            pace=self._pace,
            patience=Patience(timeout=options["timeout_seconds"]),
            probe=self._request(_PROBE, MODES[-1], 0),
        )

    @property
    def trouble(self) -> str:
        return self._pace.trouble or self._endpoint.trouble

    def close(self) -> None:
        self._pace.close()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        if self._mode == "auto" and posts:
            self._mode = self._find_mode()
        return in_flight(posts, self._ask, limit=self._options["max_in_flight"])

    def _find_mode(self) -> str:
        """The first way of asking that gives a valid answer; `none` where no way does.

        The unconstrained question comes first, with all patience: a server that is still starting
        must not be taken for one that honours nothing.
        """
        stop = threading.Event()
        first = self._endpoint.post(self._request(_PROBE, MODES[-1], 0), stop)
        if first.status != 200:
            self._row_reason(first)
        for mode in MODES[:-1]:
            reply = self._endpoint.post(self._request(_PROBE, mode, 0), stop, tries=1)
            self._refuse_fatal(reply)
            if reply.status == 200:
                try:
                    self._values(reply)
                except labels.InvalidAnswer:
                    continue
                return mode
        return MODES[-1]

    def _ask(self, post: Post, stop: threading.Event) -> Answer:
        reason = "invalid_answer"
        for nth in range(self._options["answer_tries"]):
            reply = self._endpoint.post(self._request(post, self._mode or "none", nth), stop)
            if reply.status != 200:
                return Answer(post.uri, reason=self._row_reason(reply))
            ending = _ending(reply.body)
            if ending:
                return Answer(post.uri, reason=ending)
            try:
                return Answer(post.uri, self._values(reply))
            except labels.InvalidAnswer as error:
                reason = f"invalid_answer: {error}"
        return Answer(post.uri, reason=reason)

    def _request(self, post: Post, mode: str, nth: int) -> JsonObject:
        # The post is a JSON string after the fixed instructions: no text in it can end the quote,
        # and the server's prefix cache holds the rest.
        request: JsonObject = {
            "model": self._options["model"],
            "messages": [
                {"role": "system", "content": self._system},
                {"role": "user", "content": json.dumps({"post": post.text}, ensure_ascii=False)},
            ],
            # The same question at temperature 0 gets the same invalid answer.
            "temperature": self._options["temperature"] + 0.3 * nth,
            "max_tokens": self._options["max_tokens"],
        }
        schema = labels.schema(self._labels)
        if mode == "json_schema":
            named = {"name": "labels", "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        elif mode == "json_object":
            request["response_format"] = {"type": "json_object", "schema": schema}
        return request

    def _values(self, reply: Reply) -> Mapping[str, LabelValue]:
        content = _message(reply.body).get("content")
        if not isinstance(content, str):
            raise labels.InvalidAnswer("no content")
        name = reply.body.get("model")
        values = labels.read_answer(content, self._labels)
        return {**values, labels.MODEL_COLUMN: name if isinstance(name, str) else self.model}

    def _row_reason(self, reply: Reply) -> str:
        """Why this post has no label; raises where no post would get one."""
        self._refuse_fatal(reply)
        code = _error_code(reply.body)
        if code in _ROW_CODES:
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


def _message(body: Any) -> dict[str, Any]:
    try:
        message = body["choices"][0]["message"]
    except (KeyError, IndexError, TypeError):
        return {}
    return message if isinstance(message, dict) else {}


def _ending(body: Any) -> str | None:
    """Why a 200 holds no label: endings that are verdicts, not failures."""
    if _message(body).get("refusal"):
        return "refusal"
    try:
        finish = body["choices"][0]["finish_reason"]
    except (KeyError, IndexError, TypeError):
        return None
    endings = {"length": "answer_cut_at_max_tokens", "content_filter": "content_filter"}
    return endings.get(str(finish))


def _error_code(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    # Some servers' code is the HTTP status: vLLM's words tell (vllm#37011), llama-server's type.
    type_and_words = f"{error.get('type')} {error.get('message')}"
    if any(sign in type_and_words for sign in _TOO_LONG_SIGNS):
        return _TOO_LONG
    return str(error.get("code") or "")
