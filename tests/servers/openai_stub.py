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


def error(message: str, code: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """OpenAI's error body, which vLLM and llama.cpp give too."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
