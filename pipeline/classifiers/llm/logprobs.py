"""Locate the values of an answer in its tokens, and read the probabilities of the alternatives.

The tokens are those that a server gives with `logprobs: true`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.classifiers.llm.answer_text import object_text

# OpenAI and vLLM use it for "not among the most likely": it is not a probability.
_UNLIKELY = -9999.0
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer."""

    start: int
    """Where it starts in the answer's bytes."""

    text: bytes
    """The token that was chosen."""

    alternatives: Mapping[bytes, float]
    """The probability of each token that is listed for this place, its own included."""


def locate_values(
    texts: Sequence[bytes], content: str, *, depth: int
) -> dict[tuple[str, ...], tuple[int, int]]:
    """Return where the values of an answer's object lie in its tokens.

    Args:
        texts: the bytes of each token.
        content: the answer as text.
        depth: down to how many keys to descend.

    Returns:
        The first and the last byte (exclusive) of each value, by its keys. It is empty if the
        tokens do not make up the answer: some servers lose the bytes of a cut character.
    """
    answer = object_text(content)
    # Find the last occurrence: a model's reasoning before its answer is in the tokens, too.
    first_byte = b"".join(texts).rfind(answer.encode(errors="replace"))
    if first_byte < 0:
        return {}
    spans: dict[tuple[str, ...], tuple[int, int]] = {}
    try:
        _walk(answer, _after_blanks(answer, 0), (), depth, spans)
    except RecursionError:
        return {}
    byte_of = [first_byte]  # of each character
    for character in answer:
        byte_of.append(byte_of[-1] + len(character.encode(errors="replace")))
    return {keys: (byte_of[start], byte_of[end]) for keys, (start, end) in spans.items()}


def _walk(
    text: str,
    position: int,
    keys: tuple[str, ...],
    depth: int,
    spans: dict[tuple[str, ...], tuple[int, int]],
) -> None:
    """Record the (start, end) of each value of the valid JSON object at `position`."""
    position = _after_blanks(text, position + 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        start = _after_blanks(text, _after_blanks(text, position) + 1)
        _, position = _DECODER.raw_decode(text, start)
        spans[(*keys, key)] = (start, position)
        if text[start] == "{" and len(keys) + 1 < depth:
            _walk(text, start, (*keys, key), depth, spans)
        position = _after_blanks(text, position)
        if text[position] == ",":
            position = _after_blanks(text, position + 1)


def _after_blanks(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def token_bytes(tokens: Sequence[Any]) -> list[bytes]:
    """Return the bytes of each token of a reply; none if any token is malformed."""
    try:
        return [_text(token) for token in tokens]
    except (KeyError, TypeError, ValueError):
        return []


def tokens_between(
    tokens: Sequence[Any], texts: Sequence[bytes], start: int, end: int
) -> list[Token]:
    """Return the tokens with a byte in [start, end); none if any of them is malformed.

    Args:
        tokens: the tokens of a reply, as they came.
        texts: the bytes of each token.
        start: the first byte.
        end: the last byte, exclusive.
    """
    inside: list[Token] = []
    position = 0
    try:
        for token, text in zip(tokens, texts, strict=True):
            if position < end and position + len(text) > start:
                inside.append(Token(position, text, _alternatives(token, text)))
            position += len(text)
    except (KeyError, TypeError, ValueError, OverflowError):
        return []
    return inside


def _alternatives(token: Any, text: bytes) -> dict[bytes, float]:
    """Return the listed texts; the probabilities of two tokens with the same text are added up.

    The chosen token may not be among the most likely ones.
    """
    alternatives: dict[bytes, float] = {}
    for other in token["top_logprobs"]:
        probability = _probability(other)
        if probability is not None:
            alternatives[_text(other)] = alternatives.get(_text(other), 0.0) + probability
    own = _probability(token)
    if own is not None:
        alternatives.setdefault(text, own)
    return alternatives


def _text(token: Any) -> bytes:
    """Return a token's bytes. If it holds half a character, its text is a replacement for them."""
    if "bytes" in token and token["bytes"] is not None:
        return bytes(list(token["bytes"]))
    return str(token["token"]).encode(errors="replace")


def _probability(token: Any) -> float | None:
    """Return a token's probability; None if the server says only that it is unlikely."""
    logprob = float(token["logprob"])
    if math.isnan(logprob) or logprob > 1e-3:
        raise ValueError(f"{logprob} is not a logprob")  # some servers can be set to give logits
    return min(1.0, math.exp(logprob)) if logprob > _UNLIKELY else None
