"""Build a chat completion request of the OpenAI form, and read the parts of a reply."""

import json
import re
from typing import Any

from pipeline.model import JsonObject

_TOO_LONG = "context_length_exceeded"
_TOO_LONG_SIGNS = (
    "exceed_context_size_error",
    "maximum context length",
    "longer than the model's context length",
)
# Error codes that are about one post, whenever it is sent.
POST_ERROR_CODES = (_TOO_LONG, "content_filter")
# Fields that limit an answer's tokens. OpenAI's newer models accept only the second.
MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
_ERROR_NAME = re.compile(r"[A-Za-z]+(_[A-Za-z]+)*")


def request(
    *,
    model: str,
    system: str,
    user: JsonObject,
    temperature: float | None,
    max_tokens: int,
    token_limit_field: str = MAX_TOKENS,
) -> JsonObject:
    """Return the body of a request.

    Args:
        model: the model's name, as the server knows it.
        system: the fixed instructions. They come first, so that the server's prefix cache holds
            them.
        user: what differs between requests. It is sent as JSON, so that no text in it can end its
            own quotes.
        temperature: the sampling temperature; None for the model's own.
        max_tokens: how many tokens the answer may have.
        token_limit_field: the field in which this server accepts `max_tokens`.
    """
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": json.dumps(user, ensure_ascii=False)},
        ],
        **({} if temperature is None else {"temperature": temperature}),
        token_limit_field: max_tokens,
    }


def is_completion(body: Any) -> bool:
    """Report whether a model has answered at all.

    Some gateways report their own outages as an `error` within HTTP 200 (OpenRouter does,
    api-reference/errors).
    """
    parts = (body, _choice(body)) if isinstance(body, dict) else ()
    return bool(_message(body)) and not any(part.get("error") for part in parts)


def choices(body: Any) -> int:
    """Return how many answers a reply holds."""
    found = body.get("choices") if isinstance(body, dict) else None
    return len(found) if isinstance(found, list) else 0


def content(body: Any) -> str | None:
    """Return the model's answer; None if the reply has no text."""
    text = _message(body).get("content")
    return text if isinstance(text, str) else None


def token_logprobs(body: Any) -> list[Any]:
    """Return the answer's tokens, each with its alternatives; none if the server gives none."""
    logprobs = _choice(body).get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tokens if isinstance(tokens, list) else []


def served_model(body: Any) -> str | None:
    """Return the model's name; None if there is none, or one that no file can hold."""
    name = body.get("model") if isinstance(body, dict) else None
    return name if isinstance(name, str) and name.isprintable() else None


def no_label_reason(body: Any) -> str | None:
    """Return why a complete answer holds no label; None if it may hold one.

    The model refused, its answer was cut off, or a filter removed it.
    """
    if _message(body).get("refusal"):
        return "refusal"
    reasons = {"length": "answer_cut_at_max_tokens", "content_filter": "content_filter"}
    return reasons.get(str(_choice(body).get("finish_reason")))


def error_code(body: Any) -> str:
    """Return the code of an error reply; '' without one."""
    error = _error(body)
    # Some servers' code is the HTTP status. Then vLLM's (vllm#37011) and SGLang's (sglang#8096)
    # message says that a post is too long, and llama-server's type.
    type_and_message = f"{error.get('type')} {error.get('message')}"
    if any(sign in type_and_message for sign in _TOO_LONG_SIGNS):
        return _TOO_LONG
    return str(error.get("code") or "")


def unsupported_field(body: Any) -> str:
    """Return the request's field that the model rejects, itself or its value; '' without one.

    The error codes are OpenAI's.
    """
    error = _error(body)
    unsupported = error.get("code") in ("unsupported_parameter", "unsupported_value")
    return str(error.get("param")) if unsupported else ""


def is_error_name(code: str) -> bool:
    """Report whether an error's code is a name, and neither a status nor part of a post."""
    return len(code) <= 64 and _ERROR_NAME.fullmatch(code) is not None


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
