"""Build a chat completion request of the OpenAI form, and read the parts of a reply.

Replies of the older endpoint for plain completions are read as well.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.config.secret import Secret
from pipeline.model import JsonObject, as_object
from pipeline.service.http_reply import Reply

# Behind `base_url`, for chats and for plain completions.
PATH, PLAIN_PATH = "/chat/completions", "/completions"

_TOO_LONG = "context_length_exceeded"
_TOO_LONG_SIGNS = (
    "exceed_context_size_error",
    "maximum context length",
    "longer than the model's context length",
)
_CONTENT_FILTER, _MODERATION = "content_filter", "moderation"
# Fields that limit an answer's tokens. OpenAI's newer models accept only the second.
MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
# Where servers put what a model has thought: vLLM and DeepSeek, then newer vLLM and OpenRouter.
_REASONING_FIELDS = ("reasoning_content", "reasoning")
_TEXT_PARTS = ("text", "output_text")
_THINKING_PARTS = ("thinking", "redacted_thinking", "reasoning")
_ENDINGS = {"length": AnswerProblem.CUT, "content_filter": AnswerProblem.CONTENT_FILTER}
# Such as hate, self-harm and violence/graphic.
_CATEGORY = re.compile(r"[A-Za-z]+([_/-][A-Za-z]+)*")
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


def content(body: Any) -> str:
    """Return the text of the model's answer, without what it thought.

    Raises:
        InvalidAnswer: there is none, or it is not clear what it is.
    """
    message = _message(body)
    text = _text_of(message.get("content"))
    if text.strip():
        return text
    parts = message.get("content")
    has_thinking = any(map(_is_thinking, parts)) if isinstance(parts, list) else False
    if has_thinking or any(message.get(name) for name in _REASONING_FIELDS):
        raise InvalidAnswer(
            AnswerProblem.ONLY_REASONING, "no content, only reasoning, which is no answer"
        )
    raise InvalidAnswer(AnswerProblem.NO_CONTENT, "no content")


def is_same_answer(body: Any, other: Any) -> bool:
    """Report whether two replies hold the same message."""
    return _message(body) == _message(other)


def _text_of(content: Any) -> str:
    """Return the text of a message's content, which is a text or, as from Mistral, its parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts: list[str] = []
    for part in content:
        if _is_thinking(part):
            continue
        text = part.get("text") if _kind(part) in _TEXT_PARTS else None
        if not isinstance(text, str):
            raise InvalidAnswer(
                AnswerProblem.UNCLEAR, "a part of the content is neither text nor thinking"
            )
        texts.append(text)
    return "".join(texts)


def token_logprobs(body: Any) -> list[Any]:
    """Return the answer's tokens, each with its alternatives; none if the server gives none."""
    logprobs = as_object(_choice(body).get("logprobs"))
    # llama-server gives this form for plain completions, too.
    tokens = logprobs.get("content")
    return tokens if isinstance(tokens, list) else _plain_logprobs(logprobs)


def _plain_logprobs(logprobs: dict[str, Any]) -> list[Any]:
    """Return the tokens of a plain completion in the form of a chat's; none if they differ."""
    columns = [logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")]
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) < len(columns) or len({len(column) for column in lists}) > 1:
        return []
    return [
        {
            "token": token,
            "logprob": logprob,
            "top_logprobs": [
                {"token": other, "logprob": value} for other, value in as_object(others).items()
            ],
        }
        for token, logprob, others in zip(*lists, strict=True)
    ]


def served_model(body: Any) -> str | None:
    """Return the model's name; None if there is none, or one that no file can hold."""
    name = body.get("model") if isinstance(body, dict) else None
    return name if isinstance(name, str) and name.isprintable() else None


def ending(body: Any) -> AnswerProblem | None:
    """Return how an answer ended, if it did not end by itself."""
    message = _message(body)
    parts = message.get("content")
    refusals = [part for part in parts if _is_refusal(part)] if isinstance(parts, list) else []
    if message.get("refusal") or refusals:
        return AnswerProblem.REFUSAL
    return _ENDINGS.get(str(_choice(body).get("finish_reason")))


def _is_refusal(part: Any) -> bool:
    return _kind(part) == "refusal"


def _is_thinking(part: Any) -> bool:
    return _kind(part) in _THINKING_PARTS


def _kind(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, dict) else ""


def shown(body: Any) -> str:
    """Return what a person should see of a completion: what it says, and how it ended."""
    finish = _choice(body).get("finish_reason")
    try:
        text = content(body)
    except InvalidAnswer:
        text = json.dumps(_message(body), ensure_ascii=False)
    return text if finish in ("stop", None) else f"{text} (finish_reason: {finish})"


def _error_code(body: Any) -> str:
    """Return the code of an error reply; '' without one."""
    error = _error(body)
    # Some servers' code is the HTTP status. Then vLLM's (vllm#37011) and SGLang's (sglang#8096)
    # message says that a post is too long, and llama-server's type.
    type_and_message = f"{error.get('type')} {error.get('message')}"
    if any(sign in type_and_message for sign in _TOO_LONG_SIGNS):
        return _TOO_LONG
    return str(error.get("code") or "")


def category(body: Any) -> str:
    """Return why a service declines a text, in words of its own that quote nothing.

    It is `moderation` (OpenRouter's), `content_filter` (OpenAI's and Azure's), each followed by
    the categories if they are given, or `context_length_exceeded`; '' without one of them.
    """
    error = _error(body)
    reasons = as_object(error.get("metadata")).get("reasons")
    if isinstance(reasons, list):
        return _with_names(_MODERATION, reasons)
    code = _error_code(body)
    if code == _CONTENT_FILTER:
        results = as_object(as_object(error.get("innererror")).get("content_filter_result"))
        filtered = [name for name, result in results.items() if as_object(result).get("filtered")]
        return _with_names(code, filtered)
    return code if code == _TOO_LONG else ""


def is_about_the_text(body: Any) -> bool:
    """Report whether an error is about one text, whatever the server answers to others."""
    return _error_code(body) in (_TOO_LONG, _CONTENT_FILTER)


def unsupported_field(body: Any) -> str:
    """Return the request's field that the model rejects, itself or its value; '' without one.

    The error codes are OpenAI's.
    """
    error = _error(body)
    unsupported = error.get("code") in ("unsupported_parameter", "unsupported_value")
    return str(error.get("param")) if unsupported else ""


def rejection_reason(reply: Reply, secret: Secret) -> str:
    """Return why a service rejected a post: the status, and the error's code if it is a name.

    The service's message is left out, because it may quote the post.

    Args:
        reply: the reply, other than 200.
        secret: the key, which never appears in a reason.
    """
    code = secret.redact(_error_code(reply.body))
    return reply.reason + (f": {code}" if _is_error_name(code) and not reply.failed else "")


def _is_error_name(code: str) -> bool:
    """Report whether an error's code is a name, and neither a status nor part of a post."""
    return len(code) <= 64 and _ERROR_NAME.fullmatch(code) is not None


def _with_names(word: str, names: Sequence[Any]) -> str:
    """Return a word and the names behind it; none of them if any may be part of a post."""
    are_names = all(
        isinstance(name, str) and len(name) <= 64 and _CATEGORY.fullmatch(name) for name in names
    )
    return f"{word}: {', '.join(names)}" if names and are_names and len(names) <= 20 else word


def _error(body: Any) -> dict[str, Any]:
    """Return the error of a reply, wherever the server puts it; {} without one."""
    if not isinstance(body, dict):
        return {}
    return as_object(body.get("error") or _choice(body).get("error") or body)


def _choice(body: Any) -> dict[str, Any]:
    try:
        choice = body["choices"][0]
    except (KeyError, IndexError, TypeError):
        return {}
    return choice if isinstance(choice, dict) else {}


def _message(body: Any) -> dict[str, Any]:
    choice = _choice(body)
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    text = choice.get("text")  # of a plain completion
    return {"content": text} if isinstance(text, str) else {}
