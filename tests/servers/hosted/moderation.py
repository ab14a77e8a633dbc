"""Stand in for the moderation endpoints of OpenAI and Mistral: keys, errors, and orders of results.

The fields are those of OpenAI's API reference and of Mistral's, whose results have no `flagged`
and whose errors have no `error`. Scores are made from the text, so that no two texts share them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.servers.http import LoopbackServer, Reply, Request

PATH = "/v1/moderations"
CATEGORIES = {
    "openai": (
        *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit"),
        *("illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent"),
        *("sexual", "sexual/minors", "violence", "violence/graphic"),
    ),
    "mistral": (
        *("sexual", "hate_and_discrimination", "violence_and_threats", "dangerous", "criminal"),
        *("selfharm", "health", "financial", "law", "pii", "jailbreaking"),
    ),
}
MODELS = {"openai": "omni-moderation-2024-09-26", "mistral": "mistral-moderation-2603"}

Results = list[dict[str, Any]]
Disturb = Callable[[list[str], Results], Results]
Faults = Callable[[list[str], int], Reply | None]


def score(text: str, category: str) -> float:
    """Return the score of a text, from 0 to 1 with six digits."""
    digest = hashlib.sha256(json.dumps([text, category]).encode()).digest()
    return int.from_bytes(digest[:4]) % 1_000_000 / 1_000_000


class ModerationServer(LoopbackServer):
    """The service of one provider, behind one key.

    It records the `inputs` of each request in the order of arrival, and counts `by_status`.

    Args:
        key: the only valid key; None accepts any and none.
        provider: whose categories, fields and errors to use.
        disturb: changes the results of a request, given its texts.
        faults: called with the texts and the request's number from 1; returns another reply.
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        provider: str = "openai",
        disturb: Disturb | None = None,
        faults: Faults | None = None,
    ) -> None:
        super().__init__()
        self.key, self.provider = key, provider
        self.disturb, self.faults = disturb, faults
        self.inputs: list[list[str]] = []
        self.by_status: Counter[int] = Counter()

    @property
    def base_url(self) -> str:
        """Return what a client's configuration calls `base_url`."""
        return f"{self.url}/v1"

    def respond(self, request: Request) -> Reply:
        reply = self._answer(request)
        with self.lock:
            self.by_status[0 if reply.cut else reply.status] += 1
        return reply

    def _answer(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", PATH):
            return Reply(status=404, body={"detail": "Not Found"})
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return self.error(401, "Incorrect API key provided.", "invalid_api_key")
        body = json.loads(request.body)
        texts = body["input"]
        if body.keys() != {"model", "input"} or not isinstance(texts, list):
            return self.error(400, "Unknown field.", "unknown_parameter")
        with self.lock:
            self.inputs.append(texts)
            nth = len(self.inputs)
        fault = self.faults(texts, nth) if self.faults else None
        if fault:
            return fault
        if not all(isinstance(text, str) and text for text in texts):
            return self.error(400, "Input cannot be an empty string.", "invalid_input")
        results = [self.result(text) for text in texts]
        if self.disturb:
            results = self.disturb(texts, results)
        return Reply(body={"id": "modr-1", "model": MODELS[self.provider], "results": results})

    def result(self, text: str) -> dict[str, Any]:
        """Return what the service says about one text."""
        scores = {name: score(text, name) for name in CATEGORIES[self.provider]}
        flags = {name: value > 0.9 for name, value in scores.items()}
        if self.provider == "mistral":
            return {"categories": flags, "category_scores": scores}
        return {
            "flagged": any(flags.values()),
            "categories": flags,
            "category_scores": scores,
            "category_applied_input_types": {name: ["text"] for name in scores},
        }

    def error(self, status: int, message: str, code: str) -> Reply:
        """Return an error in the provider's form."""
        if self.provider == "mistral":
            return Reply(status=status, body={"object": "error", "message": message, "code": code})
        words = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return Reply(status=status, body={"error": words})
