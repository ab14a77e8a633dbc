"""Settle posts about which coders disagree, and measure how well they agree. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.coding.codebook import CodedKind, CodedLabel, Coding
from pipeline.analysis.coder_agreement import CoderAgreement, Level, Value, measure_agreement
from pipeline.model import LabelValue

NOT_CODED, DISAGREED = "not_coded", "coders_disagree"


class Rule(StrEnum):
    """What to do where coders disagree."""

    MAJORITY = "majority"
    """What more than any other value was said; the mean of numbers. Ties stay uncoded."""
    FIRST = "first"
    """What the coder of the first file said."""
    DECIDED = "decided"
    """What a file of decisions says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """One label of one post about which coders disagree."""

    uri: str
    label: str
    values: Mapping[str, Value]
    """By coder."""
    result: LabelValue = None
    """What became of it; None if it stays uncoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """One value for each post and label."""

    values: Mapping[str, Mapping[str, LabelValue]]
    """By uri and label; None where nothing was coded or nobody decided."""
    reasons: Mapping[str, str]
    """Why a post has no value at all, by uri."""
    disagreements: tuple[Disagreement, ...]

    @property
    def undecided(self) -> list[Disagreement]:
        """Return the disagreements that leave a label uncoded."""
        return [each for each in self.disagreements if each.result is None]


_Given = Mapping[str, Mapping[str, dict[str, Value]]]


def _collect(codings: Sequence[Coding]) -> _Given:
    """Return the values by uri, label and coder, without blanks."""
    given: dict[str, dict[str, dict[str, Value]]] = defaultdict(lambda: defaultdict(dict))
    for coding in codings:
        for label, value in coding.values.items():
            if value is not None:
                given[coding.uri][label][coding.coder] = value
    return given


def measure_coders(
    codings: Sequence[Coding], labels: Sequence[CodedLabel]
) -> tuple[CoderAgreement, ...]:
    """Return how well coders agree about each label; nothing for a single coder."""
    given = _collect(codings)
    if len({coding.coder for coding in codings if not coding.is_blank}) < 2:
        return ()
    numbers = (CodedKind.NUMBER, CodedKind.INTEGER)
    return tuple(
        measure_agreement(
            label.name,
            Level.INTERVAL if label.kind in numbers else Level.NOMINAL,
            [values[label.name] for values in given.values() if label.name in values],
        )
        for label in labels
    )


def resolve(
    codings: Sequence[Coding],
    labels: Sequence[CodedLabel],
    uris: Sequence[str],
    rule: Rule | None,
    decisions: Sequence[Coding] = (),
) -> Resolved:
    """Return one value for each post and label.

    Args:
        codings: what coders said, in the order of the files.
        labels: what was coded.
        uris: all posts that coders were given.
        rule: what to do where they disagree; None leaves such a label uncoded.
        decisions: for the rule `decided`, what was decided.
    """
    given = _collect(codings)
    decided = {coding.uri: coding.values for coding in decisions}
    values: dict[str, Mapping[str, LabelValue]] = {}
    reasons: dict[str, str] = {}
    disagreements: list[Disagreement] = []
    for uri in uris:
        of_post: dict[str, LabelValue] = {}
        for label in labels:
            said = given[uri][label.name] if uri in given and label.name in given[uri] else {}
            of_post[label.name] = next(iter(said.values()), None)
            if len(set(said.values())) > 1:
                result = _settle(said, label, rule, decided.get(uri, {}).get(label.name))
                of_post[label.name] = result
                disagreements.append(
                    Disagreement(uri=uri, label=label.name, values=said, result=result)
                )
        values[uri] = of_post
        if all(value is None for value in of_post.values()):
            reasons[uri] = DISAGREED if uri in given else NOT_CODED
    return Resolved(values=values, reasons=reasons, disagreements=tuple(disagreements))


def _settle(
    said: Mapping[str, Value], label: CodedLabel, rule: Rule | None, decision: LabelValue
) -> LabelValue:
    if rule is Rule.FIRST:
        return next(iter(said.values()))
    if rule is Rule.DECIDED:
        return decision
    if rule is not Rule.MAJORITY:
        return None
    if label.kind is CodedKind.NUMBER:
        return sum(map(float, said.values())) / len(said)
    (value, most), *others = Counter(said.values()).most_common(2)
    return None if others and others[0][1] == most else value
