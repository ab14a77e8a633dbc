"""Say how well coders agree, and what they disagree about. Pure."""

from collections.abc import Sequence

from hpc.coding.codebook import as_typed
from hpc.coding.resolve import Disagreement
from pipeline.analysis.coder_agreement import CoderAgreement
from pipeline.text import counted

_MOST_SHOWN = 20


def describe_agreement(agreement: Sequence[CoderAgreement]) -> list[str]:
    """Return a line for each label about which coders may disagree."""
    lines = []
    for each in agreement:
        alpha = "not defined" if each.alpha is None else f"{each.alpha:z.3f}"
        why = f" ({each.why})" if each.why else ""
        lines.append(
            f"{each.label}: Krippendorff's alpha ({each.level}) {alpha}{why}; "
            f"{counted(each.units, 'post')} coded by two or more of {each.coders} coders, "
            f"identical on {each.identical:,}"
        )
    return lines


def list_disagreements(disagreements: Sequence[Disagreement]) -> list[str]:
    """Return a line for each of the first disagreements: who said what."""
    lines = [
        f"{each.uri} {each.label}: "
        + ", ".join(f"{coder} {as_typed(value)}" for coder, value in each.values.items())
        for each in disagreements[:_MOST_SHOWN]
    ]
    return [*lines, *_count_rest(disagreements)]


def list_undecided(undecided: Sequence[Disagreement]) -> list[str]:
    """Return a line for each of the first labels that stay uncoded."""
    lines = [f"{each.uri} {each.label}" for each in undecided[:_MOST_SHOWN]]
    return [*lines, *_count_rest(undecided)]


def _count_rest(items: Sequence[Disagreement]) -> list[str]:
    """Return a line that counts those beyond the first ones; none if there are no more."""
    more = len(items) - _MOST_SHOWN
    return [f"and {more:,} more"] if more > 0 else []
