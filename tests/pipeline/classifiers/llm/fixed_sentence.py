"""The fixed sentence with which a server is probed: how to answer it, and how to leave it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

SENTENCE = "The sun is out today."
Answer = Callable[[dict[str, Any], int], Reply]


def is_fixed_sentence(body: dict[str, Any]) -> bool:
    """Report whether a request asks about the fixed sentence and not about posts."""
    return bool(json.loads(body["messages"][1]["content"]) == {"post": SENTENCE})


def labels_fixed_sentence(content: str, answer: Answer) -> Answer:
    """Answer the fixed sentence with `content`, and posts with `answer`.

    The second argument of `answer` counts the requests about posts only.
    """
    sentences = 0

    def answered(body: dict[str, Any], nth: int) -> Reply:
        nonlocal sentences
        if is_fixed_sentence(body):
            sentences += 1
            return completion(content)
        return answer(body, nth - sentences)

    return answered


def about_posts(server: OpenAIStub) -> list[dict[str, Any]]:
    """Return the requests about posts, in the order of their arrival."""
    return [body for body in server.bodies if not is_fixed_sentence(body)]
