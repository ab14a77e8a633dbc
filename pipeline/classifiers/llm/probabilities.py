"""Compute how probable each value of a label was, from the logprobs of the answer's tokens.

A logprob belongs to a token, and some token of a value distinguishes it from the other values: the
first one (`true`, `false`) or a later one (`"mod` | `erate`, `"mod` | `ern`). The probabilities of
the tokens before it are multiplied. At that token, and on the way to it, each listed alternative
that only one value can continue with adds to that value, however the text is split into tokens
(`"left`, ` "left`, `"le`). An alternative that two values could continue with belongs to both of
them; a blank says nothing. The shares are relative to the probability on all values, because the
server may report the distribution before its grammar masks it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.classifiers.llm.labels import Label
from pipeline.classifiers.llm.logprobs import Token, locate_values, token_bytes, tokens_between
from pipeline.config.keys import Wrong
from pipeline.model import Column, ColumnKind, LabelValue

# A share that is less certain than this is not given. A listed token may belong to this value or to
# another one, or only this value is listed and the others may be among the tokens that are not.
BLUR = 0.01
_BLANK = b" \t\r\n"

EndsValue = Callable[[bytes], bool]
"""Reports whether a value is complete before these bytes, which a token adds to it."""


def ends_in_json(after: bytes) -> bool:
    """Report whether a value of JSON is complete before `after`: that is JSON's next sign."""
    return after.lstrip(_BLANK)[:1] in (b"", b",", b"}")


def probability_columns(declared: Sequence[Label]) -> tuple[Column, ...]:
    """Return the columns for the probabilities of labels.

    They are `<bool>_prob` (of true), `<choice>_prob` (of the chosen value) and `<choice>_probs` (of
    every value, as JSON text). Numbers and texts have none.
    """
    columns: list[Column] = []
    for label in declared:
        if label.type in ("bool", "choice"):
            columns.append(Column(f"{label.name}_prob", ColumnKind.NUMBER))
        if label.type == "choice":
            columns.append(Column(f"{label.name}_probs", ColumnKind.TEXT))
    return tuple(columns)


def check_scores(declared: Sequence[Label]) -> None:
    """Check that labels can have scores.

    Raises:
        Wrong: none can, or two columns would have one name.
    """
    scored = [column.name for column in probability_columns(declared)]
    if not scored:
        raise Wrong("scores", "no label is of type bool or choice: only those have scores")
    for label in declared:
        if label.name in scored:
            raise Wrong("labels", f"{label.name!r} is the column of a label's score, too")
        if {None, "null"} <= set(label.choices):
            raise Wrong("labels", f"{label.name}: null and 'null' have one score")


def read_probabilities(
    tokens: Sequence[Any],
    content: str,
    declared: Sequence[Label],
    values: Mapping[str, LabelValue],
    *,
    within: tuple[str, ...] = (),
) -> dict[str, LabelValue]:
    """Return the values of `probability_columns(declared)`, null where the reply does not say.

    Args:
        tokens: the reply's tokens with their alternatives, as they came.
        content: the valid answer that they make up.
        declared: the declared labels.
        values: that answer's label values.
        within: the keys under which the answer's object lies.
    """
    probabilities: dict[str, LabelValue] = {
        column.name: None for column in probability_columns(declared)
    }
    texts = token_bytes(tokens)
    spans = locate_values(texts, content, depth=len(within) + 1)
    for label in declared:
        span = spans.get((*within, label.name))
        if span is None or label.type not in ("bool", "choice"):
            continue
        start, end = span
        inside = tokens_between(tokens, texts, start, end)
        shares = value_shares(inside, start, _spellings(label))
        name = f"{label.name}_prob"
        if label.type == "bool":
            probabilities[name] = 1 - shares[False] if False in shares else shares.get(True)
            continue
        probabilities[name] = shares.get(values[label.name])
        if shares:
            by_choice = {
                "null" if choice is None else choice: _round(shares.get(choice))
                for choice in label.choices
            }
            probabilities[f"{label.name}_probs"] = json.dumps(by_choice, ensure_ascii=False)
    return probabilities


def value_shares(
    tokens: Sequence[Token],
    start: int,
    spellings: Mapping[LabelValue, Sequence[bytes]],
    ends: EndsValue = ends_in_json,
) -> dict[LabelValue, float]:
    """Return each value's part of the probability that lies on values.

    Values that are not listed, or that no listed token distinguishes, are left out.

    Args:
        tokens: the tokens that contain the chosen value.
        start: the byte at which the value begins.
        spellings: the ways to write each value.
        ends: recognizes what may follow a complete value.
    """
    masses, unlisted = _masses(tokens, start, spellings, ends)
    total = sum(masses.values())
    shares: dict[LabelValue, float] = {}
    for value in spellings:
        own = masses.get(frozenset({value}), 0.0)
        blur = sum(
            mass for possible, mass in masses.items() if value in possible and len(possible) > 1
        )
        if all(value in possible for possible in masses):
            blur += unlisted
        if own and blur <= BLUR * total:
            shares[value] = own / total
    return shares


def _masses(
    tokens: Sequence[Token],
    start: int,
    spellings: Mapping[LabelValue, Sequence[bytes]],
    ends: EndsValue,
) -> tuple[dict[frozenset[LabelValue], float], float]:
    """Return the probability of each set of values that listed tokens could lead to.

    The second result is the probability of everything that is not listed.
    """
    masses: dict[frozenset[LabelValue], float] = {}
    unlisted, weight, written = 0.0, 1.0, b""
    for token in tokens:
        lead = token.text[: max(0, start - token.start)]
        on_path = _possible_values(token.text, lead, written, spellings, ends)
        for text, probability in token.alternatives.items():
            possible = _possible_values(text, lead, written, spellings, ends)
            if possible and not (text == token.text and len(possible) > 1):
                masses[possible] = masses.get(possible, 0.0) + weight * probability
        unlisted += weight * max(0.0, 1.0 - sum(token.alternatives.values()))
        if len(on_path) == 1:
            return masses, unlisted
        if not on_path or token.text not in token.alternatives:
            break
        weight *= token.alternatives[token.text]
        written += token.text[len(lead) :]
    return {}, 0.0


def _possible_values(
    text: bytes,
    lead: bytes,
    written: bytes,
    spellings: Mapping[LabelValue, Sequence[bytes]],
    ends: EndsValue,
) -> frozenset[LabelValue]:
    """Return the values that `text` may continue after `written`.

    Args:
        text: the token.
        lead: what the chosen token says before the value begins; blanks there may differ.
        written: the part of the value that comes before this token.
        spellings: the ways to write each value.
        ends: recognizes what may follow a complete value.
    """
    if not written:
        before = lead.rstrip(_BLANK)
        if not text.startswith(before):
            return frozenset()
        text = text[len(before) :].lstrip(_BLANK)
    if not text:
        return frozenset()
    return frozenset(
        value
        for value, ways in spellings.items()
        if any(
            way.startswith(written) and _continues(way[len(written) :], text, ends) for way in ways
        )
    )


def _continues(rest: bytes, text: bytes, ends: EndsValue) -> bool:
    """Report whether `text` begins `rest`, or is all of it and then what ends a value."""
    return rest.startswith(text) or (text.startswith(rest) and ends(text[len(rest) :]))


def _spellings(label: Label) -> dict[LabelValue, tuple[bytes, ...]]:
    values: tuple[LabelValue, ...] = (True, False) if label.type == "bool" else label.choices
    return {
        value: tuple({json.dumps(value, ensure_ascii=ascii).encode() for ascii in (False, True)})
        for value in values
    }


def _round(share: float | None) -> float | None:
    return share if share is None else round(share, 6)
