"""A scriptable OpenAI-compatible server, for the error paths that a real one won't show on demand.

What a model does with a prompt is tested on a real server (`llama.py`), never here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .http import LoopbackServer, Reply, Request

Answer = Callable[[dict[str, Any], int], Reply]


class OpenAIStub(LoopbackServer):
    """POST /v1/chat/completions is answered by `answer(request as JSON, its number, from 1)`.

    Keeps `requests` (how many), `bodies` and `authorizations` (the header, None where absent) in
    the order of arrival, and `by_status` (0: connection cut). `GET /v1/models` lists `models`; a
    `key` makes every other one a 401.
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
        """What a client's configuration calls `base_url`: with /v1, as vLLM prints it."""
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
    """A chat completion that says `content`; `choice` adds fields beside it, such as logprobs.
    Without `usage` it does not report any, as a server need not."""
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
    """OpenAI's error body, which vLLM and llama.cpp give too."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def newer_model(
    answer: Answer,
    *,
    temperature: bool = True,
    keywords: Sequence[str] = (),
    logprobs: bool = True,
) -> Answer:
    """What OpenAI's newer models refuse, in its words, before `answer` sees the request.

    Without `temperature` that field is refused whatever its value, as by o3-mini (chatblade#100),
    else all but 1, as by gpt-5 (llmcomp#69). `keywords` are those that no strict schema may have.
    Without `logprobs` they are forbidden, as by o4-mini (deepeval#2184).
    """

    def refused(field: str, message: str, code: str | None) -> Reply:
        return Reply(status=400, body=error(message, code, param=field))

    def unsupported(field: str, hint: str = "") -> Reply:
        message = f"Unsupported parameter: '{field}' is not supported with this model.{hint}"
        return refused(field, message, "unsupported_parameter")

    def checked(body: dict[str, Any], nth: int) -> Reply:
        if "max_tokens" in body:
            return unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
        if "temperature" in body and not temperature:
            return unsupported("temperature")
        if (given := body.get("temperature", 1)) != 1:
            message = (
                f"Unsupported value: 'temperature' does not support {given:g} with this model. "
                "Only the default (1) value is supported."
            )
            return refused("temperature", message, "unsupported_value")
        if "logprobs" in body and not logprobs:
            message = "You are not allowed to request logprobs from this model"
            return Reply(status=403, body=error(message, None))
        if "structured_outputs" in body:
            message = "Unknown parameter: 'structured_outputs'."
            return refused("structured_outputs", message, "unknown_parameter")
        bound = body.get("response_format", {})
        if "schema" in bound:
            message = "Unknown parameter: 'response_format.schema'."
            return refused("response_format.schema", message, "unknown_parameter")
        for name, label in _properties(bound).items():
            for keyword in sorted(label.keys() & set(keywords)):
                message = (
                    "Invalid schema for response_format 'labels': In context=('properties', "
                    f"'{name}'), '{keyword}' is not permitted."
                )
                return refused("response_format", message, None)
        return answer(body, nth)

    return checked


def _properties(response_format: dict[str, Any]) -> dict[str, dict[str, Any]]:
    schema = response_format.get("json_schema", {}).get("schema", {})
    found: dict[str, dict[str, Any]] = schema.get("properties", {})
    return found
