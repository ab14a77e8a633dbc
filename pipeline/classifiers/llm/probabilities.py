"""How probable each value of a label was, by the logprobs of the tokens that said the answer.

A logprob is a token's, and a label is told from the others by some token of its value: by the
first one (`true`, `false`) or by a later one (`"mod` | `erate`, `"mod` | `ern`). Up to there the
path's probability is multiplied; there, and on the way, each listed token that only one label can
go on with adds to that label, however the text is cut into tokens (`"left`, ` "left`, `"le`). What
two labels could go on with is theirs together; a blank alone says nothing of any. The shares are
of what lies on labels: the distribution may be the one before the grammar's mask.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.classifiers.llm.labels import Label
from pipeline.classifiers.llm.logprobs import Token, between, places, texts_of
from pipeline.config.keys import Wrong
from pipeline.model import Column, ColumnKind, LabelValue

# A share that is known less exactly than this is not given: listed tokens may have become this
# label or another one, or this label is listed alone, and others may be in what is not listed.
BLUR = 0.01
_BLANK = b" \t\r\n"


def columns(declared: Sequence[Label]) -> tuple[Column, ...]:
    """`<bool>_prob`: of true. `<choice>_prob`: of the value that was chosen; `<choice>_probs`: of
    every value, as JSON text. Numbers and short texts have none."""
    found: list[Column] = []
    for label in declared:
        if label.type in ("bool", "choice"):
            found.append(Column(f"{label.name}_prob", ColumnKind.NUMBER))
        if label.type == "choice":
            found.append(Column(f"{label.name}_probs", ColumnKind.TEXT))
    return tuple(found)


def check_scores(declared: Sequence[Label]) -> None:
    """Check that labels can have scores.

    Raises:
        Wrong: none can, or two columns would have one name.
    """
    scored = [column.name for column in columns(declared)]
    if not scored:
        raise Wrong("scores", "no label is of type bool or choice: only those have scores")
    for label in declared:
        if label.name in scored:
            raise Wrong("labels", f"{label.name!r} is the column of a label's score, too")
        if {None, "null"} <= set(label.choices):
            raise Wrong("labels", f"{label.name}: null and 'null' have one score")


def read(
    said: Sequence[Any],
    content: str,
    declared: Sequence[Label],
    values: Mapping[str, LabelValue],
    *,
    within: tuple[str, ...] = (),
) -> dict[str, LabelValue]:
    """The values of `columns(declared)`, null where the reply does not tell.

    Args:
        said: the reply's tokens with their alternatives, as they came.
        content: the valid answer that they make up.
        values: that answer's label values.
        within: the keys under which the answer's object lies.
    """
    found: dict[str, LabelValue] = {column.name: None for column in columns(declared)}
    texts = texts_of(said)
    where = places(texts, content, depth=len(within) + 1)
    for label in declared:
        place = where.get((*within, label.name))
        if place is None or label.type not in ("bool", "choice"):
            continue
        start, end = place
        of = shares(between(said, texts, start, end), start, _forms(label))
        if label.type == "bool":
            found[f"{label.name}_prob"] = 1 - of[False] if False in of else of.get(True)
            continue
        found[f"{label.name}_prob"] = of.get(values[label.name])
        if of:
            each = {"null" if one is None else one: _rounded(of.get(one)) for one in label.choices}
            found[f"{label.name}_probs"] = json.dumps(each, ensure_ascii=False)
    return found


def shares(
    tokens: Sequence[Token], start: int, forms: Mapping[LabelValue, Sequence[bytes]]
) -> dict[LabelValue, float]:
    """Each label's part of the probability that lies on labels; without those that are not listed,
    or that no listed token tells from the others.

    Args:
        tokens: those that the chosen value is in.
        start: where it begins, in bytes.
        forms: the ways to write each label as JSON.
    """
    masses, unlisted = _masses(tokens, start, forms)
    whole = sum(masses.values())
    found: dict[LabelValue, float] = {}
    for value in forms:
        own = masses.get(frozenset({value}), 0.0)
        blur = sum(mass for may, mass in masses.items() if value in may and len(may) > 1)
        if all(value in may for may in masses):
            blur += unlisted
        if own and blur <= BLUR * whole:
            found[value] = own / whole
    return found


def _masses(
    tokens: Sequence[Token], start: int, forms: Mapping[LabelValue, Sequence[bytes]]
) -> tuple[dict[frozenset[LabelValue], float], float]:
    """The probability of each set of labels that listed tokens could have become, and of all that
    is not listed."""
    masses: dict[frozenset[LabelValue], float] = {}
    unlisted, weight, written = 0.0, 1.0, b""
    for token in tokens:
        lead = token.said[: max(0, start - token.start)]
        on_path = _may_become(token.said, lead, written, forms)
        for text, probability in token.listed.items():
            may = _may_become(text, lead, written, forms)
            if may and not (text == token.said and len(may) > 1):
                masses[may] = masses.get(may, 0.0) + weight * probability
        unlisted += weight * max(0.0, 1.0 - sum(token.listed.values()))
        if len(on_path) == 1:
            return masses, unlisted
        if not on_path or token.said not in token.listed:
            break
        weight *= token.listed[token.said]
        written += token.said[len(lead) :]
    return {}, 0.0


def _may_become(
    text: bytes, lead: bytes, written: bytes, forms: Mapping[LabelValue, Sequence[bytes]]
) -> frozenset[LabelValue]:
    """The labels whose value may go on with `text`, after `written` of it.

    `lead` is what the token on the path says before the value begins; blanks there may differ.
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
        for value, ways in forms.items()
        if any(way.startswith(written) and _goes_on(way[len(written) :], text) for way in ways)
    )


def _goes_on(rest: bytes, text: bytes) -> bool:
    """Whether `text` is the beginning of `rest`, or all of it and then JSON's next sign."""
    if rest.startswith(text):
        return True
    after = text[len(rest) :].lstrip(_BLANK)
    return text.startswith(rest) and after[:1] in (b"", b",", b"}")


def _forms(label: Label) -> dict[LabelValue, tuple[bytes, ...]]:
    values: tuple[LabelValue, ...] = (True, False) if label.type == "bool" else label.choices
    return {
        value: tuple({json.dumps(value, ensure_ascii=ascii).encode() for ascii in (False, True)})
        for value in values
    }


def _rounded(share: float | None) -> float | None:
    return share if share is None else round(share, 6)
