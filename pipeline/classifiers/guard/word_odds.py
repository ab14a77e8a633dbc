"""Compute how probable each declared word was, from the tokens of an answer.

The rules are those of `probabilities`: every way to split a word into tokens counts, a word that is
not listed is unknown and not improbable, and shares are relative to the probability on all words.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.classifiers.guard.words import ends_word
from pipeline.classifiers.llm.logprobs import token_bytes, tokens_between
from pipeline.classifiers.llm.probabilities import value_shares
from pipeline.model import JsonObject, LabelValue, as_object

# How some servers show the blanks of a token: SentencePiece's, then those of byte-level BPE.
_SENTENCEPIECE = "\u2581".encode()
_BYTE_LEVEL = {"\u0120".encode(): b" ", "\u010a".encode(): b"\n"}


def word_shares(
    tokens: Sequence[Any], answer: str, start: int, spellings: Mapping[LabelValue, Sequence[bytes]]
) -> dict[LabelValue, float]:
    """Return each value's part of the probability that lies on declared words.

    Values that are not listed, or that no listed token distinguishes, are left out. So are all of
    them if the tokens do not make up the answer.

    Args:
        tokens: the reply's tokens with their alternatives, as they came.
        answer: the text that they end with.
        start: the character of `answer` at which the word begins.
        spellings: the ways to write each value.
    """
    texts = token_bytes([_plain(token) for token in tokens])
    word_on = answer[start:].rstrip().encode(errors="replace")
    # The last occurrence: a model's reasoning before its answer is in the tokens, too.
    first_byte = b"".join(texts).rfind(word_on)
    if first_byte < 0 or not word_on:
        return {}
    # What follows the longest word says nothing about words, and may be long.
    end = first_byte + max(len(way) for ways in spellings.values() for way in ways) + 1
    ends = tuple(itertools.accumulate(len(text) for text in texts))
    near = [
        _with_blanks(token) if position - len(text) < end and position > first_byte else token
        for token, text, position in zip(tokens, texts, ends, strict=True)
    ]
    inside = tokens_between(near, texts, first_byte, end)
    return value_shares(inside, first_byte, spellings, ends_word)


def _with_blanks(token: Any) -> JsonObject:
    """Return a token and its alternatives with blanks for the signs that stand for them."""
    others = as_object(token).get("top_logprobs")
    listed = others if isinstance(others, list) else []
    return {**_plain(token), "top_logprobs": [_plain(other) for other in listed]}


def _plain(token: Any) -> JsonObject:
    texts = token_bytes([token])
    if not texts:
        return as_object(token)
    text = texts[0].replace(_SENTENCEPIECE, b" ")
    blanks = b""
    while (sign := text[:2]) in _BYTE_LEVEL:
        blanks, text = blanks + _BYTE_LEVEL[sign], text[2:]
    return {**as_object(token), "bytes": list(blanks + text)}
