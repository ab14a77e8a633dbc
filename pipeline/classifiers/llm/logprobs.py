"""The tokens that an answer was said in, as `logprobs: true` gives them: where each value of the
answer lies in them, and how probable what else was listed there."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.classifiers.llm import labels

# OpenAI's and vLLM's for "not among the likely ones": no probability.
_UNLIKELY = -9999.0
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, where it starts in the answer's bytes, and the probability of each text
    that was listed for its place, its own included."""

    start: int
    said: bytes
    listed: Mapping[bytes, float]


def places(
    texts: Sequence[bytes], content: str, *, depth: int
) -> dict[tuple[str, ...], tuple[int, int]]:
    """Where the values of the answer's object lie in the tokens' bytes, by their keys; empty where
    the tokens do not make up the answer (some servers lose the bytes of a cut character)."""
    answer = labels.unfenced(content)
    # The last one: what a model thinks aloud before it answers is in the tokens, too.
    at = b"".join(texts).rfind(answer.encode(errors="replace"))
    if at < 0:
        return {}
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    try:
        _walk(answer, _after_blanks(answer, 0), (), depth, found)
    except RecursionError:
        return {}
    before = [at]  # in bytes, of each character
    for character in answer:
        before.append(before[-1] + len(character.encode(errors="replace")))
    return {keys: (before[start], before[end]) for keys, (start, end) in found.items()}


def _walk(
    text: str,
    at: int,
    keys: tuple[str, ...],
    depth: int,
    found: dict[tuple[str, ...], tuple[int, int]],
) -> None:
    """Notes (start, end) of each value of the valid JSON object at `at`, down to `depth` keys."""
    at = _after_blanks(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _after_blanks(text, _after_blanks(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        found[(*keys, key)] = (start, at)
        if text[start] == "{" and len(keys) + 1 < depth:
            _walk(text, start, (*keys, key), depth, found)
        at = _after_blanks(text, at)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def _after_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def texts_of(said: Sequence[Any]) -> list[bytes]:
    """Each token's bytes; none where one is not as every server gives it."""
    try:
        return [_text(one) for one in said]
    except (KeyError, TypeError, ValueError):
        return []


def between(said: Sequence[Any], texts: Sequence[bytes], start: int, end: int) -> list[Token]:
    """Those with a byte between `start` and `end`; none where one is not as it should be."""
    found: list[Token] = []
    at = 0
    try:
        for one, text in zip(said, texts, strict=True):
            if at < end and at + len(text) > start:
                found.append(Token(at, text, _listed(one, text)))
            at += len(text)
    except (KeyError, TypeError, ValueError, OverflowError):
        return []
    return found


def _listed(token: Any, text: bytes) -> dict[bytes, float]:
    """Two tokens may have one text: theirs is added up. The chosen one may not be among the top."""
    listed: dict[bytes, float] = {}
    for other in token["top_logprobs"]:
        probability = _probability(other)
        if probability is not None:
            listed[_text(other)] = listed.get(_text(other), 0.0) + probability
    own = _probability(token)
    if own is not None:
        listed.setdefault(text, own)
    return listed


def _text(token: Any) -> bytes:
    """Its bytes: a character may be cut in two, and then its text is a replacement for it."""
    if "bytes" in token and token["bytes"] is not None:
        return bytes(list(token["bytes"]))
    return str(token["token"]).encode(errors="replace")


def _probability(token: Any) -> float | None:
    """None where it is said to be unlikely, and no more than that."""
    logprob = float(token["logprob"])
    if math.isnan(logprob) or logprob > 1e-3:
        raise ValueError(f"{logprob} is no logprob")  # logits, of a server that is set so
    return min(1.0, math.exp(logprob)) if logprob > _UNLIKELY else None
