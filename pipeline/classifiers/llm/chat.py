"""One chat completion: the request that every OpenAI-compatible server takes, a reply's parts."""

import json
import re
from typing import Any

from pipeline.model import JsonObject

# Errors that are about one post and stay so.
_TOO_LONG = "context_length_exceeded"
_TOO_LONG_SIGNS = (
    "exceed_context_size_error",
    "maximum context length",
    "longer than the model's context length",
)
ROW_CODES = (_TOO_LONG, "content_filter")
# How many tokens an answer may have: the second is OpenAI's newer models', which refuse the first.
MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
_WORD = re.compile(r"[A-Za-z]+(_[A-Za-z]+)*")


def request(
    *,
    model: str,
    system: str,
    asked: JsonObject,
    temperature: float | None,
    max_tokens: int,
    limit: str = MAX_TOKENS,
) -> JsonObject:
    """A question after the fixed instructions. `limit`: what the server calls `max_tokens`. None:
    the model's own `temperature`.

    `asked` is JSON, so that no text in it can end its quotes; it comes last, so that the server's
    prefix cache holds the rest.
    """
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": json.dumps(asked, ensure_ascii=False)},
        ],
        **({} if temperature is None else {"temperature": temperature}),
        limit: max_tokens,
    }


def is_completion(body: Any) -> bool:
    """Whether a model has answered at all: gateways tell of their own troubles by an `error` within
    HTTP 200 (OpenRouter does, api-reference/errors)."""
    parts = (body, _choice(body)) if isinstance(body, dict) else ()
    return bool(_message(body)) and not any(part.get("error") for part in parts)


def content(body: Any) -> str | None:
    """What the model said; None where the reply has no words."""
    said = _message(body).get("content")
    return said if isinstance(said, str) else None


def logprobs(body: Any) -> list[Any]:
    """The tokens that were said, each with its alternatives; none where the server gives none."""
    said = _choice(body).get("logprobs")
    tokens = said.get("content") if isinstance(said, dict) else None
    return tokens if isinstance(tokens, list) else []


def served_model(body: Any) -> str | None:
    """None too for what no file can hold, such as half an emoji."""
    name = body.get("model") if isinstance(body, dict) else None
    return name if isinstance(name, str) and name.isprintable() else None


def ending(body: Any) -> str | None:
    """Why a 200 holds no label: endings that are verdicts, not failures."""
    if _message(body).get("refusal"):
        return "refusal"
    endings = {"length": "answer_cut_at_max_tokens", "content_filter": "content_filter"}
    return endings.get(str(_choice(body).get("finish_reason")))


def error_code(body: Any) -> str:
    error = _error(body)
    # Some servers' code is the HTTP status: vLLM's words tell (vllm#37011), SGLang's (sglang#8096),
    # llama-server's type.
    type_and_words = f"{error.get('type')} {error.get('message')}"
    if any(sign in type_and_words for sign in _TOO_LONG_SIGNS):
        return _TOO_LONG
    return str(error.get("code") or "")


def unsupported(body: Any) -> str:
    """The field of the request that a model does not take, or not with that value (OpenAI's error
    codes); '' where the error is another."""
    error = _error(body)
    unsupported = error.get("code") in ("unsupported_parameter", "unsupported_value")
    return str(error.get("param")) if unsupported else ""


def is_word(code: str) -> bool:
    """Whether an error's code is a name: neither a status again nor anything of a post."""
    return len(code) <= 64 and _WORD.fullmatch(code) is not None


def _error(body: Any) -> dict[str, Any]:
    error = body.get("error", body) if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _choice(body: Any) -> dict[str, Any]:
    try:
        choice = body["choices"][0]
    except (KeyError, IndexError, TypeError):
        return {}
    return choice if isinstance(choice, dict) else {}


def _message(body: Any) -> dict[str, Any]:
    message = _choice(body).get("message")
    return message if isinstance(message, dict) else {}
