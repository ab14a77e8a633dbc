"""Script an OpenAI-compatible server, for errors that a real one does not show on demand.

What a model does with a prompt is tested with a real server (`llama`), never here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .http import LoopbackServer, Reply, Request

Answer = Callable[[dict[str, Any], int], Reply]


class OpenAIStub(LoopbackServer):
    """Answers POST /v1/chat/completions with `answer(request as JSON, its number from 1)`.

    It records the number of `requests`, their `bodies` and `authorizations` (the header; None
    without one) in the order of arrival, and counts the replies `by_status` (0: connection cut).
    `GET /v1/models` lists `models`. With a `key`, any other key gets a 401.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        models: Sequence[str] = ("stub",),
        key: str | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self._answer, self._models, self._key = answer, models, key
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.by_status: Counter[int] = Counter()

    @property
    def base_url(self) -> str:
        """Return what a client's configuration calls `base_url`: with /v1, as vLLM prints it."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> int:
        return len(self.bodies)

    def respond(self, request: Request) -> Reply:
        authorization = request.headers.get("Authorization")
        if self._key is not None and authorization != f"Bearer {self._key}":
            return Reply(status=401, body=error("Incorrect API key provided.", "invalid_api_key"))
        if (request.method, request.path) == ("GET", "/v1/models"):
            models = [{"id": name, "object": "model", "owned_by": "tests"} for name in self._models]
            return Reply(body={"object": "list", "data": models})
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return Reply(status=404, body={"detail": "Not Found"})
        body = json.loads(request.body)
        with self.lock:
            self.bodies.append(body)
            self.authorizations.append(authorization)
            nth = len(self.bodies)
        reply = self._answer(body, nth)
        with self.lock:
            self.by_status[0 if reply.cut else reply.status] += 1
        return reply


def completion(
    content: str | None, *, finish_reason: str = "stop", usage: Any = None, **choice: Any
) -> Reply:
    """Return a chat completion that says `content`.

    `choice` adds fields beside it, such as logprobs. Without `usage` it reports none, as a server
    may.
    """
    message = {"role": "assistant", "content": content}
    return Reply(
        body={
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 0,
            "model": "stub",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, **choice}],
            **({} if usage is None else {"usage": usage}),
        }
    )


def error(
    message: str,
    code: str | None,
    kind: str = "invalid_request_error",
    *,
    param: str | None = None,
) -> dict[str, Any]:
    """Return OpenAI's error body, which vLLM and llama.cpp use too."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def newer_model(
    answer: Answer,
    *,
    temperature: bool = True,
    keywords: Sequence[str] = (),
    logprobs: bool = True,
) -> Answer:
    """Return an `answer` that first rejects what OpenAI's newer models reject, in their words.

    Args:
        answer: answers what is not rejected.
        temperature: whether a temperature of 1 is accepted, as by gpt-5 (llmcomp#69). If not, the
            field is rejected whatever its value, as by o3-mini (chatblade#100).
        keywords: the JSON schema keywords that a strict schema may not have.
        logprobs: whether logprobs are allowed; they are not by o4-mini (deepeval#2184).
    """

    def checked(body: dict[str, Any], nth: int) -> Reply:
        rejections = (
            _reject_token_limit(body),
            _reject_temperature(body, allowed=temperature),
            None if logprobs else _reject_logprobs(body),
            _reject_other_servers_fields(body),
            _reject_keywords(body, set(keywords)),
        )
        return next(filter(None, rejections), None) or answer(body, nth)

    return checked


def _rejected(field: str, message: str, code: str | None) -> Reply:
    return Reply(status=400, body=error(message, code, param=field))


def _unsupported(field: str, hint: str = "") -> Reply:
    message = f"Unsupported parameter: '{field}' is not supported with this model.{hint}"
    return _rejected(field, message, "unsupported_parameter")


def _reject_token_limit(body: dict[str, Any]) -> Reply | None:
    if "max_tokens" in body:
        return _unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
    return None


def _reject_temperature(body: dict[str, Any], *, allowed: bool) -> Reply | None:
    if "temperature" in body and not allowed:
        return _unsupported("temperature")
    value = body.get("temperature", 1)
    if value == 1:
        return None
    message = (
        f"Unsupported value: 'temperature' does not support {value:g} with this model. "
        "Only the default (1) value is supported."
    )
    return _rejected("temperature", message, "unsupported_value")


def _reject_logprobs(body: dict[str, Any]) -> Reply | None:
    if "logprobs" not in body:
        return None
    message = "You are not allowed to request logprobs from this model"
    return Reply(status=403, body=error(message, None))


def _reject_other_servers_fields(body: dict[str, Any]) -> Reply | None:
    if "structured_outputs" in body:
        message = "Unknown parameter: 'structured_outputs'."
        return _rejected("structured_outputs", message, "unknown_parameter")
    if "schema" in body.get("response_format", {}):
        message = "Unknown parameter: 'response_format.schema'."
        return _rejected("response_format.schema", message, "unknown_parameter")
    return None


def _reject_keywords(body: dict[str, Any], keywords: set[str]) -> Reply | None:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    for name, label in schema.get("properties", {}).items():
        for keyword in sorted(label.keys() & keywords):
            message = (
                "Invalid schema for response_format 'labels': In context=('properties', "
                f"'{name}'), '{keyword}' is not permitted."
            )
            return _rejected("response_format", message, None)
    return None
