"""Check `classifier.request`: further fields of every request, as the server gets them.

The fields are part of the labeling setup, so the manifest keeps them. They must be JSON, must not
contradict what the program sets itself, and must hold no secret.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

from pipeline.config.keys import Wrong
from pipeline.limits import REQUEST_BYTES, REQUEST_LEVELS, in_words

KEY = "request"
_LEAST, _MOST = -(2**63), 2**64 - 1

_MESSAGES = "is what the program sends: classifier.prompt, the labels and the post"
_TOKENS = "is set by classifier.max_tokens"
_LOGPROBS = "is set by classifier.scores and classifier.top_logprobs"
_STREAM = "cannot be set, because an answer is read whole: leave it out"
_TOOLS = "cannot be set, because labels are read from the message, and a tool call has none"
RESERVED: Mapping[str, str] = {
    "model": "is set by classifier.model",
    "messages": _MESSAGES,
    "prompt": _MESSAGES,
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "max_output_tokens": _TOKENS,
    "max_new_tokens": _TOKENS,
    "n_predict": _TOKENS,
    "temperature": "is set by classifier.temperature (null sends none)",
    "response_format": "is set by classifier.labels and classifier.structured_output",
    "structured_outputs": "is set by classifier.labels and classifier.structured_output",
    "logprobs": _LOGPROBS,
    "top_logprobs": _LOGPROBS,
    "stream": _STREAM,
    "stream_options": _STREAM,
    "n": "cannot be set, because one answer is read: classifier.answer_tries says how often to ask",
    "tools": _TOOLS,
    "tool_choice": _TOOLS,
    "parallel_tool_calls": _TOOLS,
    "functions": _TOOLS,
    "function_call": _TOOLS,
}
"""Fields that a configuration must not add, and why."""

# OpenAI's and vLLM's name for it, and Mistral's.
_SEEDS = ("seed", "random_seed")

# Ends of names, in lower case and without signs. Not `tokens`, nor `prompt_cache_key`.
_SECRET_NAME = re.compile(
    r"((api|access|secret|private|subscription|account|master|license)key"
    r"|(access|auth|api|bearer|hf|id|refresh|session|secret)token"
    r"|secret|password|passwd|passphrase|authorization|credentials?|cookie)$|^(token|auth|bearer)$"
)
_SECRET_VALUE = re.compile(
    r"(bearer|basic)\s+\S{8,}|sk-[\w-]{16,}|(hf|gsk|gh[a-z])_\w{16,}|AIza[\w-]{16,}|xai-\w{16,}",
    re.IGNORECASE | re.ASCII,
)
_SECRET = (
    "looks like a secret, which the run's folder would keep: an API key belongs in "
    "classifier.api_key_env or classifier.api_key_file"
)


def check_fields(fields: Mapping[str, object], reserved: Mapping[str, str] = RESERVED) -> None:
    """Reject fields that no request can have.

    Args:
        fields: the value of `classifier.request`.
        reserved: the fields that it must not have, and why.

    Raises:
        Wrong: names the path of the value, and what to do.
    """
    for name in fields:
        # Servers written in Go read the names of fields in any case.
        if reason := reserved.get(name.lower()):
            raise Wrong(_path(KEY, name), reason)
    _check_value(fields, KEY, levels=0)
    size = len(json.dumps(fields, ensure_ascii=False).encode())
    if size > REQUEST_BYTES:
        raise Wrong(KEY, f"should be at most {in_words(REQUEST_BYTES)} as JSON")


def has_seed(value: object) -> bool:
    """Report whether fields of a request set a seed, so that the same request gets one answer."""
    if not isinstance(value, Mapping):
        return False
    return any(
        (name in _SEEDS and item is not None) or has_seed(item) for name, item in value.items()
    )


def find_rejected_field(body: Any, fields: Mapping[str, object]) -> str:
    """Return the path of the field that a server's error names; '' if it names none of `fields`.

    Servers name a field in `param` (OpenAI), in `loc` (FastAPI, vLLM), or in quotes in the message.

    Args:
        body: the body of the error reply.
        fields: the value of `classifier.request`.
    """
    for words in _names_in(body):
        for name in fields:
            if words == name or words.startswith(f"{name}."):
                return words
    return ""


def _names_in(body: Any) -> Iterator[str]:
    """Yield what an error may name as a field, the most reliable first."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return
    if isinstance(error.get("param"), str):
        yield error["param"]
    details = error.get("detail")
    for detail in details if isinstance(details, list) else ():
        location = detail.get("loc") if isinstance(detail, dict) else None
        if isinstance(location, list):
            yield ".".join(str(part) for part in location if part != "body")
    for text in (error.get("message"), details):
        if isinstance(text, str):
            yield from re.findall(r"[\"'`]([\w.\-]+)[\"'`]", text)


def _check_value(value: object, path: str, *, levels: int) -> None:
    if isinstance(value, Mapping):
        _check_levels(levels, path)
        for name, item in value.items():
            if not isinstance(name, str):
                raise Wrong(path, f"the key {name!r} should be text: put it in quotes")
            if not name.strip():
                raise Wrong(path, "holds a key without a name")
            _check_name(name, item, path)
            _check_value(item, _path(path, name), levels=levels + 1)
    elif isinstance(value, list):
        _check_levels(levels, path)
        for index, item in enumerate(value):
            _check_value(item, f"{path}[{index}]", levels=levels + 1)
    elif problem := _problem_of(value):
        raise Wrong(path, problem)


def _check_name(name: str, value: object, path: str) -> None:
    plain = re.sub(r"[\W_]", "", name).lower()
    if _SECRET_NAME.search(plain) and value is not None:
        raise Wrong(_path(path, name), _SECRET)


def _check_levels(levels: int, path: str) -> None:
    if levels >= REQUEST_LEVELS:
        raise Wrong(path, f"lies more than {REQUEST_LEVELS} levels deep")


def _problem_of(value: object) -> str:
    """Return why a value is not one of JSON, or must not be sent; '' if it can be sent."""
    match value:
        case None | bool():
            return ""
        case str():
            return _SECRET if _SECRET_VALUE.fullmatch(value.strip()) else ""
        case int():
            fits = _LEAST <= value <= _MOST
            return "" if fits else "should have at most 64 bits, as a number of any server has"
        case float():
            return "" if math.isfinite(value) else f"should be a number of JSON, not {value}"
        case date() | time():
            return f"is a date, which JSON does not have: write it in quotes ({str(value)!r})"
        case bytes():
            return "is binary data, which JSON does not have: write it as text"
        case _:
            return f"is a {type(value).__name__}, which JSON does not have: write a list"


def _path(parent: str, name: str) -> str:
    return f"{parent}.{name}"
